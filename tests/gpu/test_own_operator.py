"""An operator of a user's own, from scratch: registered with PyTorch, bound, and in engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.plugins.queued import doubled_by
from trtdsl.types import TensorType

pytestmark = pytest.mark.gpu

TOLERANCE = {"fp32": 1e-5, "fp16": 1e-2}
"""``|answer - PyTorch| / |PyTorch|`` in the 2-norm."""


@torch.library.custom_op("trtdsl_test::gated_square", mutates_args=())
def gated_square(x: torch.Tensor, gate: torch.Tensor, power: float) -> torch.Tensor:
    """``x * |x| ** power`` where the gate is positive, and 0 elsewhere."""
    return torch.where(gate > 0, x * x.abs() ** power, 0.0)


gated_square.register_fake(lambda x, gate, power: torch.empty_like(x))

KERNEL = """
extern "C" __global__ void gated_square(
    const T0* x, const T1* gate, T2* y, int count, float power) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= count) return;
    float value = x[i];
    y[i] = (float)gate[i] > 0.0f ? value * powf(fabsf(value), power) : 0.0f;
}
"""


@trtdsl.plugin(torch.ops.trtdsl_test.gated_square.default)
@dataclass(frozen=True, kw_only=True)
class GatedSquare(trtdsl.Plugin, kernel=KERNEL):
    narrows = True  # the kernel takes float16 too

    power: float

    def infer(self, x: TensorType, gate: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor, gate: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = gated_square(x.float(), gate.float(), self.power)
        return y.to(x.dtype)

    def launch(
        self,
        x: trtdsl.Buffer,
        gate: trtdsl.Buffer,
        y: trtdsl.Buffer,
        *,
        workspace: trtdsl.Buffer | None,
    ) -> trtdsl.Launch:
        args = (x, gate, y, x.volume, self.power)
        return trtdsl.Launch(kernel="gated_square", grid=-(-x.volume // 256), block=256, args=args)


class Model(nn.Module):
    """Two uses of the operator amid layers of TensorRT's."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.gate = nn.Conv2d(3, 8, 1)
        self.last = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = gated_square(self.first(x), self.gate(x), 0.5)
        z: torch.Tensor = self.last(gated_square(y, 1 - y, 1.25).mean((2, 3)))
        return z


@cache
def model() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Model().eval()


def inputs(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 16, 16, generator=torch.Generator().manual_seed(batch))


@cache
def engine(precision: str) -> Any:
    return trtdsl.convert(
        model(),
        (inputs(4),),
        dynamic_shapes={"x": {0: torch.export.Dim("batch", min=2, max=16)}},
        precision=precision,
        backend="tensorrt",
        optimization_level=0,
    )


def error(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return float((actual.cpu() - expected).norm() / expected.norm())


@pytest.mark.parametrize("precision", TOLERANCE)
def test_at_several_sizes(precision: str) -> None:
    for batch in (2, 7, 16, 2):
        x = inputs(batch)
        assert error(engine(precision)(x.cuda()), model()(x).detach()) < TOLERANCE[precision]
        answer = torch.from_numpy(engine(precision)(x.numpy()))
        assert error(answer, model()(x).detach()) < TOLERANCE[precision]


def test_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "own.engine"
    engine("fp32").save(path)
    x = inputs(3).cuda()
    assert torch.equal(trtdsl.load(path)(x), engine("fp32")(x))


def test_captured_in_a_cuda_graph() -> None:
    captured = trtdsl.Engine(engine("fp32").plan, engine("fp32").manifest)
    captured.graphs = True
    for batch in (3, 5, 3, 5, 3):
        x = inputs(batch).cuda()
        plain = engine("fp32")(x)
        assert torch.equal(captured(x), plain)
        torch.testing.assert_close(captured(2 * x), engine("fp32")(2 * x), rtol=0, atol=0)


@pytest.mark.parametrize("how", ["triton", "pycuda", "cupy"])
def test_kernels_queued_by_other_libraries(how: str) -> None:
    pytest.importorskip(how, reason=f"{how} is not installed", exc_type=ImportError)
    doubled = doubled_by(how)
    with trtdsl.Network() as net:
        rows = net.dim("rows", min=1, opt=4, max=64)
        x = net.input("x", (rows, 300))
        net.output(doubled(shift=0.5)(doubled(shift=-3.0)(x) * 1.5), "y")
    built = net.build(optimization_level=0)
    for count in (1, 64, 5):
        values = torch.randn(count, 300, generator=torch.Generator().manual_seed(count))
        expected = 2 * (1.5 * (2 * values - 3.0)) + 0.5
        torch.testing.assert_close(built(values.cuda()).cpu(), expected, rtol=1e-6, atol=1e-5)
