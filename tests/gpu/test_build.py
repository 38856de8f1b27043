"""Builds by a real TensorRT: its refusals, its precision, and the command line on top of it."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import trtdsl
from tests.models import small
from trtdsl.build import BuildOptions, build
from trtdsl.cli import app
from trtdsl.errors import BuildError, RunError
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Network
from trtdsl.source import Source
from trtdsl.types import DType, TensorType

pytestmark = pytest.mark.gpu

FAST = BuildOptions(optimization_level=0)


class Unrestricted(Slice):
    """A slice that is lowered as it is, also where TensorRT 8.6 has no kernel for it."""

    def takes(self, *_: TensorType) -> bool:
        return True


def test_a_failed_build_names_the_module() -> None:
    import tensorrt

    if not tensorrt.__version__.startswith("8."):
        pytest.skip("TensorRT 8.6 is the release that cannot pad bool")
    net = Network()
    x = net.input("x", (3,), DType.BOOL)
    with net.at(Source(module="head", operator="aten.constant_pad_nd.default")):
        layer = Unrestricted(start=(-1,), shape=(5,), stride=(1,), mode=SampleMode.FILL)
        net.output(layer(x, net.constant(False)), "y")
    with pytest.raises(BuildError, match="could not build the engine") as error:
        build(net, FAST)
    assert "Error Code" in str(error.value)
    assert "at:  head/unrestricted: aten.constant_pad_nd.default, module head" in str(error.value)


def test_a_network_by_hand_runs() -> None:
    with Network("mlp") as net:
        x = net.input("x", (2, 8))
        w = net.constant(torch.eye(8) * 2)
        net.output(Activation(type=ActivationType.RELU)(x @ w + 1), "y")
    values = torch.randn(2, 8)
    engine = net.build(optimization_level=0)
    torch.testing.assert_close(engine(values.cuda()).cpu(), (values * 2 + 1).relu())


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_a_model_that_lives_on_the_gpu(precision: str | None) -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4))
    model = nn.Sequential(*layers).eval().cuda()
    x = torch.randn(2, 3, 8, 8, device="cuda")
    with torch.no_grad():
        expected = model.cpu()(x.cpu())
        model.cuda()
    engine = trtdsl.convert(model, (x,), precision=precision, optimization_level=0)
    reference = trtdsl.convert(model, (x,), precision=precision, backend="reference")
    for answer in (engine(x), reference(x)):
        assert answer.is_cuda
        error = (answer.cpu() - expected).abs().max() / expected.abs().max()
        assert error <= (1e-2 if precision else 1e-5)


def test_float16_holds_in_a_convolutional_network() -> None:
    model, inputs = small.MODELS["unet_bilinear"]()
    with warnings.catch_warnings():
        warnings.simplefilter("error", trtdsl.PrecisionWarning)
        engine = trtdsl.convert(model, inputs, precision="fp16", optimization_level=0)
    outputs = [o["Format/Datatype"] for layer in engine.inspect() for o in layer["Outputs"]]
    assert sum("FP16" in text for text in outputs) > 0.8 * len(outputs)


def test_bfloat16_is_refused_where_the_release_has_none() -> None:
    import tensorrt

    if hasattr(tensorrt.DataType, "BF16"):
        pytest.skip("this TensorRT has bfloat16")
    with pytest.raises(BuildError, match="has no bfloat16"):
        trtdsl.convert(nn.Linear(4, 4).eval(), (torch.randn(2, 4),), precision="bf16")


def test_sizes_of_every_kind_are_computed_in_the_engine() -> None:
    import sympy

    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    h = net.dim("h", min=8, opt=16, max=64)
    x = net.input("x", (b, h))
    sizes = [b, 2 * b + 1, h // 2, (h + 3) // 4 * b, h % 3, sympy.Max(b, h), sympy.Min(b, 5)]
    net.output(net.size(*sizes, b**2, sympy.ceiling(h / 2)), "sizes")
    net.output(x.reshape(h, b), "turned")
    engine = build(net, FAST)
    for rows, columns in ((3, 17), (8, 64), (1, 8)):
        values = torch.randn(rows, columns)
        expected = net.evaluate(values)
        for ours, wanted in zip(engine(values.cuda()), expected, strict=True):
            assert torch.equal(ours.cpu(), wanted)
    with pytest.raises(RunError, match="9"):
        engine(torch.randn(9, 8).cuda())


def test_the_command_line_builds_inspects_and_reports(tmp_path: Path) -> None:
    module = tmp_path / "net.py"
    module.write_text(
        "from torch import nn\n"
        "def make():\n"
        "    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())\n"
    )
    engine = tmp_path / "m.engine"
    runner = CliRunner()
    made = runner.invoke(
        app,
        ["convert", f"{module}:make", "-i", "input=1x3x16x16", "-o", str(engine), "--level", "0"],
    )
    assert made.exit_code == 0, made.output
    assert json.loads((tmp_path / "m.engine.json").read_text())["tensorrt"]
    shown = runner.invoke(app, ["inspect", str(engine)])
    assert shown.exit_code == 0, shown.output
    assert "convolution" in shown.output
    doctor = runner.invoke(app, ["doctor"])
    assert doctor.exit_code == 0, doctor.output
    compared = runner.invoke(app, ["compare", f"{module}:make", "-i", "input=1x3x16x16"])
    assert compared.exit_code == 0, compared.output
