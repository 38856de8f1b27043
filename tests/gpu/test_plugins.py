"""Plugins inside engines, against their references in PyTorch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import trtdsl
from tests.plugins.samples import Failing, Rolled, RowSquares, Swish
from tests.test_plugin_aliases import AddToRows
from trtdsl.build import BuildOptions, build
from trtdsl.network import Network
from trtdsl.tensorrt_api import has_ahead_of_time, import_tensorrt
from trtdsl.types import DType

pytestmark = pytest.mark.gpu
FAST = BuildOptions(optimization_level=0)


@pytest.mark.parametrize("dtype", [DType.FLOAT32, DType.FLOAT16])
def test_a_kernel_in_cuda_at_several_sizes(dtype: DType) -> None:
    net = Network()
    rows = net.dim("rows", min=1, opt=4, max=64)
    x = net.input("x", (rows, 33), dtype)
    net.output(Swish(beta=1.5)(x + x), "y")
    engine = build(net, FAST)
    torch.manual_seed(0)
    for count in (1, 7, 64, 7):
        values = torch.randn(count, 33).to(dtype.torch)
        answer = engine(values.cuda()).cpu()
        tolerance = 1e-5 if dtype is DType.FLOAT32 else 2e-3
        torch.testing.assert_close(
            answer, net.evaluate(values), rtol=tolerance, atol=tolerance, check_dtype=True
        )


def test_two_outputs_a_workspace_and_a_size_of_its_own() -> None:
    net = Network()
    rows = net.dim("rows", min=1, opt=4, max=64)
    x = net.input("x", (rows, 20))
    sums, counts = RowSquares().outputs(x)
    net.output(sums, "sums")
    net.output(counts, "counts")
    net.output(Rolled(shift=3, end=-7.0)(Swish(beta=1.0)(x)) * 2.0, "rolled")
    engine = build(net, FAST)
    torch.manual_seed(0)
    for count in (5, 64, 5):
        values = torch.randn(count, 20)
        answers = [y.cpu() for y in engine(values.cuda())]
        expected = net.evaluate(values)
        torch.testing.assert_close(answers[0], expected[0], rtol=1e-5, atol=1e-5)
        assert torch.equal(answers[1], expected[1])
        torch.testing.assert_close(answers[2], expected[2], rtol=1e-5, atol=1e-5)
        assert (answers[2][:, -1] == -14.0).all()


def test_an_exception_in_a_kernel_is_the_cause_of_the_error() -> None:
    net = Network()
    net.output(Failing()(net.input("x", (2, 3))), "y")
    engine = build(net, FAST)
    for _ in range(3):
        with pytest.raises(trtdsl.RunError, match="Failing") as caught:
            engine(torch.zeros(2, 3, device="cuda"))
        assert isinstance(caught.value.__cause__, ArithmeticError)
        assert "no way to compute (2, 3)" in str(caught.value.__cause__)


def test_a_kernel_that_does_not_compile() -> None:
    import dataclasses

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Misspelt(Swish, kernel="__global__ void swish(floot x) {}\n"):
        """Of a type that CUDA does not have."""

    net = Network()
    net.output(Misspelt(beta=1.0)(net.input("x", (2, 3))), "y")
    with pytest.raises(trtdsl.TrtdslError) as caught:
        build(net, FAST)(torch.zeros(2, 3, device="cuda"))
    causes = f"{caught.value} {caught.value.__cause__}"
    assert "floot" in causes


_LOAD = """
import sys, torch, trtdsl
import tests.plugins.samples
engine = trtdsl.load(sys.argv[1])
y = engine(torch.linspace(-3, 3, 66, device="cuda").reshape(2, 33))
torch.save(y.cpu(), sys.argv[2])
"""


def test_saved_here_loaded_in_another_process(tmp_path: Path) -> None:
    net = Network()
    net.output(Swish(beta=0.5)(net.input("x", (2, 33))), "y")
    path, answer = tmp_path / "m.engine", tmp_path / "y.pt"
    build(net, FAST).save(path)
    command = [sys.executable, "-c", _LOAD, str(path), str(answer)]
    subprocess.run(command, check=True)
    expected = net.evaluate(torch.linspace(-3, 3, 66).reshape(2, 33))
    torch.testing.assert_close(torch.load(answer), expected, rtol=1e-5, atol=1e-5)
    forgetful = _LOAD.replace("import tests.plugins.samples\n", "")
    command[2] = forgetful
    failed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert failed.returncode == 1
    assert "import tests.plugins.samples before the engine is loaded" in failed.stderr


def test_a_kernel_that_updates_an_input_leaves_the_inputs_own_memory() -> None:
    net = Network()
    x = net.input("x", (6, 4))
    rows, values = net.input("rows", (2,), DType.INT32), net.input("values", (2, 4))
    y = AddToRows()(x, rows, values)
    net.output(AddToRows()(y * 2.0, rows, values), "z")
    net.output(y, "y")
    engine = build(net, FAST)
    torch.manual_seed(0)
    index = torch.tensor([4, 1], dtype=torch.int32)
    for _ in range(3):
        given = (torch.randn(6, 4), index, torch.randn(2, 4))
        there = [v.cuda() for v in given]
        for actual, expected in zip(engine(*there), net.evaluate(*given), strict=True):
            torch.testing.assert_close(actual.cpu(), expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(there[0].cpu(), given[0])


def test_a_kernel_that_the_engine_holds_needs_no_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_ahead_of_time(import_tensorrt()):
        pytest.skip("TensorRT 10.9 and later hold kernels")
    monkeypatch.setattr(Swish, "ahead_of_time", True)
    net = Network()
    rows = net.dim("rows", min=1, opt=4, max=64)
    net.output(Swish(beta=0.5)(net.input("x", (rows, 33))), "y")
    path, answer = tmp_path / "m.engine", tmp_path / "y.pt"
    build(net, FAST).save(path)
    without = _LOAD.replace("import tests.plugins.samples\n", "")
    subprocess.run([sys.executable, "-c", without, str(path), str(answer)], check=True)
    expected = net.evaluate(torch.linspace(-3, 3, 66).reshape(2, 33))
    torch.testing.assert_close(torch.load(answer), expected, rtol=1e-5, atol=1e-5)


def test_many_calls_leak_nothing() -> None:
    net = Network()
    net.output(Swish(beta=0.5)(net.input("x", (2, 33))), "y")
    engine = build(net, FAST)
    x = torch.zeros(2, 33, device="cuda")
    for _ in range(100):
        engine(x)
    torch.cuda.synchronize()
    free, _ = torch.cuda.mem_get_info()
    for _ in range(100_000):
        engine(x)
    torch.cuda.synchronize()
    assert free - torch.cuda.mem_get_info()[0] < 8 << 20
