"""Models of PyTorch's export quantization (PT2E): pairs of operators, and weights of int8."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import torch.ao.quantization.fx._decomposed
from torch import nn

import trtdsl
from tests import standin
from tests.cases.base import f32
from trtdsl.errors import ConversionError, UnsupportedError
from trtdsl.held import PrecisionWarning
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.lower import lower
from trtdsl.network import Network
from trtdsl.passes.prepared import prepared_for
from trtdsl.tensorrt_api import Api, network_flags

X = f32(2, 3, 8, 8)
INT8 = (-128, 127, torch.int8)
UINT8 = (0, 255, torch.uint8)


def operators() -> Any:
    return torch.ops.quantized_decomposed


def rounded(x: torch.Tensor, scale: float, zero_point: int = 0, steps: Any = INT8) -> torch.Tensor:
    """A value to integers and back, as ``convert_pt2e`` writes it."""
    q = operators().quantize_per_tensor.default(x, scale, zero_point, *steps)
    return operators().dequantize_per_tensor.default(q, scale, zero_point, *steps)


class Converted(nn.Module):
    """What ``convert_pt2e`` makes of a convolution, an activation and a linear layer."""

    def __init__(self, zero_point: int = 0, steps: Any = INT8) -> None:
        super().__init__()
        self.zero_point, self.steps = zero_point, steps
        for name, shape in (("conv", (8, 3, 3, 3)), ("linear", (5, 8))):
            weight = f32(*shape, seed=len(shape))
            scale = weight.flatten(1).abs().amax(1) / 127
            q = operators().quantize_per_channel.default(
                weight, scale, torch.zeros(shape[0], dtype=torch.int64), 0, -127, 127, torch.int8
            )
            self.register_buffer(f"{name}_weight", q)
            self.register_buffer(f"{name}_scale", scale)
            self.register_buffer(f"{name}_zero", torch.zeros(shape[0], dtype=torch.int64))
        self.bias = nn.Parameter(f32(8))

    def weight(self, name: str) -> torch.Tensor:
        q, scale, zero = (getattr(self, f"{name}_{part}") for part in ("weight", "scale", "zero"))
        return operators().dequantize_per_channel.default(  # type: ignore[no-any-return]
            q, scale, zero, 0, -127, 127, torch.int8
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = rounded(x, 0.025, self.zero_point, self.steps)
        y = nn.functional.conv2d(x, self.weight("conv"), self.bias).relu()
        y = rounded(rounded(y, 0.05).mean((2, 3)), 0.03)
        return nn.functional.linear(y, self.weight("linear"))


def quantizers(network: Network) -> list[tuple[int | None, bool]]:
    """The axis of each, and whether it rounds a weight."""
    found = [op for op in network.operations if isinstance(op.layer, FakeQuantize)]
    return [(op.layer.axis, op.inputs[0].is_constant) for op in found]  # type: ignore[attr-defined]


def test_pairs_are_int8_of_tensorrt() -> None:
    model = Converted().eval()
    network = trtdsl.trace(model, (X,))
    assert sorted(quantizers(network), key=str) == [(0, True)] * 2 + [(None, False)] * 3
    torch.testing.assert_close(network.evaluate(X), model(X), rtol=1e-5, atol=1e-5)
    exported = trtdsl.trace(torch.export.export(model, (X,)))
    assert quantizers(exported) == quantizers(network)


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_they_lower_for_every_release(version: str) -> None:
    trt = standin.load(version)
    made = trt.Builder(trt.Logger()).create_network(network_flags(trt))
    network = prepared_for(trtdsl.trace(Converted().eval(), (X,)), trt)
    lower(network, Api(trt, made), infers=False)


def test_steps_that_are_not_int8s_are_told() -> None:
    model = Converted(zero_point=128, steps=UINT8).eval()
    told = r"no int8 for 1 of 3 quantizations: .* zero point 128 and steps 0 to 255, and int8 has 0"
    with pytest.warns(PrecisionWarning, match=told) as warned:
        network = trtdsl.trace(model, (X,))
    assert "test_export_quantization.py" in str(warned[0].message)
    assert len(quantizers(network)) == 4
    torch.testing.assert_close(network.evaluate(X), model(X), rtol=1e-5, atol=1e-5)


class Buffers(nn.Module):
    """A scale and a zero point that are buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor(0.1))
        self.register_buffer("zero", torch.tensor(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = operators().quantize_per_tensor.tensor(x, self.scale, self.zero, *INT8)
        y = operators().dequantize_per_tensor.tensor(q, self.scale, self.zero, *INT8)
        return y + 1  # type: ignore[no-any-return]


def test_scales_in_buffers() -> None:
    network = trtdsl.trace(Buffers().eval(), (X,))
    assert quantizers(network) == [(None, False)]
    torch.testing.assert_close(network.evaluate(X), Buffers()(X), rtol=0, atol=1e-6)


class Other(nn.Module):
    """Integers that leave the model, a pair of two scales, and one of two dtypes."""

    def __init__(self, back: float | None) -> None:
        super().__init__()
        self.back = back

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q: torch.Tensor = operators().quantize_per_tensor.default(x, 0.1, 0, *INT8)
        if self.back == 0.1:
            return operators().dequantize_per_tensor.default(  # type: ignore[no-any-return]
                q, 0.1, 0, *INT8, out_dtype=torch.float16
            )
        if self.back is not None:
            q = operators().dequantize_per_tensor.default(q, self.back, 0, *INT8)
        return q


@pytest.mark.parametrize("back", [None, 0.1, 0.2])
def test_what_is_no_pair_is_reported(back: float | None) -> None:
    with pytest.raises(UnsupportedError, match=r"quantized_decomposed\.quantize_per_tensor"):
        trtdsl.trace(Other(back).eval(), (X,))


def test_what_export_made_has_no_mode() -> None:
    model = Converted().eval()
    graph = torch.export.export(model, (X,)).module()
    assert graph.training
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = trtdsl.trace(graph, (X,))
    torch.testing.assert_close(network.evaluate(X), model(X), rtol=1e-5, atol=1e-5)
    with pytest.raises(ConversionError, match="Sequential is in training mode"):
        trtdsl.trace(nn.Sequential(graph, nn.Linear(5, 2)), (X,))
