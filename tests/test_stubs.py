"""Stubs for operators without a converter: they import, pass ruff, and compute once filled in."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from typer.testing import CliRunner

import trtdsl
from tests.standin import FOLDER, VERSIONS
from trtdsl import registry
from trtdsl.cli import app
from trtdsl.stubs import LAYERS, layer_note, source, stub


@torch.library.custom_op("trtdsl_stubs::tilt", mutates_args=())
def tilt(
    x: torch.Tensor, weight: torch.Tensor, by: float, dims: list[int], name: str | None = None
) -> torch.Tensor:
    """A sum over dims, scaled."""
    return (x * weight * by).sum(dims)


@tilt.register_fake
def _(
    x: torch.Tensor, weight: torch.Tensor, by: float, dims: list[int], name: str | None = None
) -> torch.Tensor:
    return x.sum(dims)


class Tilted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0, 3.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(tilt(x, self.weight, 0.5, [1]))


def model() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    return Tilted().eval(), (torch.arange(6.0).reshape(2, 3),)


def target(folder: Path) -> str:
    """The model for the command line; this file loaded twice would declare its operator twice."""
    path = folder / "net.py"
    path.write_text("from tests.test_stubs import model as model\n")
    return f"{path}:model"


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))


def imported(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_a_stub_is_written_once_and_filled_in(tmp_path: Path) -> None:
    path = tmp_path / "my_stub.py"
    command = ["check", target(tmp_path), "--stub", str(path)]
    runner = CliRunner()
    assert runner.invoke(app, command).exit_code == 1
    assert runner.invoke(app, command).exit_code == 2, "it is there, and not written over"
    ruff = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--isolated",
        "--line-length=100",
        "--select=B,E,F,I,N,UP",
        str(path),
    ]
    done = subprocess.run(ruff, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    text = path.read_text()
    assert "# The outputs' types" in text
    path.write_text(
        text.replace("        return x\n", "        return x.with_shape(x.shape[:1])\n", 1)
    )
    module = imported(path)
    net = trtdsl.trace(*model())
    (layer,) = (op.layer for op in net.operations if op.layer.kind == "tilt")
    assert layer == module.Tilt(by=0.5, dims=(1,), name=None)
    x = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    assert net.evaluate(x).tolist() == [3.0, 6.0]
    buffers = [trtdsl.Buffer(0, (2, 3), trtdsl.DType.FLOAT32)] * 3
    assert layer.launch(*buffers, workspace=None).kernel == "tilt"  # type: ignore[attr-defined]


def test_operators_without_a_plugin_get_a_converter_and_what_is_none_gets_nothing() -> None:
    assert "def block_diag(tensors):\n" in stub("aten.block_diag.default")
    assert "class BlockDiag" not in stub("aten.block_diag.default")
    assert stub("cond") == stub("aten.no_such_thing.default") == ""
    names = ["aten.frexp.Tensor", "aten.igamma.default", "aten.block_diag.default"]
    compile(source(names), "stubs", "exec")


def test_what_is_for_the_model_to_change_gets_no_stub() -> None:
    class Drawn(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.airy_ai(x) + torch.rand_like(x) + torch.linalg.svdvals(x).sum()

    report = trtdsl.check(Drawn().eval(), (torch.ones(2, 2),))
    assert len(report.unsupported) == 3
    assert "class SpecialAiryAi" in report.stubs()
    assert report.stubs().count("@trtdsl.plugin(") == 1
    assert str(report).endswith("`trtdsl check --stub FILE`")

    class Random(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.rand_like(x)

    report = trtdsl.check(Random().eval(), (torch.ones(2, 2),))
    assert report.stubs() == ""
    assert "to fill in" not in str(report)


def test_releases_that_have_a_layer_are_named() -> None:
    said = layer_note("_c10d_functional.all_reduce.default")
    assert said == "TensorRT 10.16 and later have INetworkDefinition.add_dist_collective"
    assert layer_note("_c10d_functional.all_to_all_single.default") == (
        "TensorRT 11.0 and later have INetworkDefinition.add_dist_collective with "
        "CollectiveOperation.ALL_TO_ALL"
    )
    assert layer_note("aten.igamma.default") == ""


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("beginning", LAYERS)
def test_a_release_has_the_layer_from_when_it_is_said_to(beginning: str, version: str) -> None:
    described = json.loads((FOLDER / f"{version}.json").read_text())
    layer = LAYERS[beginning]
    enum, _, member = layer.member.partition(".")
    has = layer.method in described["classes"]["INetworkDefinition"]["methods"]
    if member:
        has = has and member in described["enum_values"].get(enum, {})
    release, first = ([int(n) for n in v.split(".")[:2]] for v in (version, layer.release))
    assert has == (release >= first)


def test_every_operator_with_a_layer_is_one_that_has_no_converter() -> None:
    import torch.ao.quantization.fx._decomposed
    import torch.onnx.ops

    names = [n.replace("::", ".") for n in torch._C._dispatch_get_all_op_names()]
    for beginning in LAYERS:
        meant = [
            n if n.count(".") > 1 else f"{n}.default" for n in names if n.startswith(beginning)
        ]
        assert meant, beginning
        for name in (n for n in meant if not n.endswith(("_", "out"))):
            namespace, operator, overload = name.split(".")
            target = getattr(getattr(getattr(torch.ops, namespace), operator), overload)
            assert all(registry.find(target, complex=c) is None for c in (False, True)), name


KNOWN_LAYERS = {
    *("add_activation", "add_assertion", "add_attention_v2", "add_cast", "add_concatenation"),
    *("add_constant", "add_convolution", "add_convolution_nd", "add_cumulative"),
    "add_deconvolution",
    *("add_deconvolution_nd", "add_einsum", "add_elementwise", "add_fill", "add_fully_connected"),
    *("add_gather", "add_gather_v2", "add_grid_sample", "add_identity", "add_if_conditional"),
    *("add_input", "add_loop", "add_lrn", "add_matrix_multiply", "add_nms", "add_normalization"),
    *("add_normalization_v2", "add_one_hot", "add_padding", "add_padding_nd"),
    *("add_parametric_relu", "add_pooling", "add_pooling_nd", "add_reduce", "add_resize"),
    *("add_rnn_v2", "add_scale", "add_scale_nd", "add_scatter", "add_select", "add_shape"),
    *("add_shuffle", "add_slice", "add_softmax", "add_squeeze", "add_topk", "add_unary"),
    *("add_unsqueeze", "add_plugin", "add_plugin_v2", "add_plugin_v3"),
}
"""The layers whose operators have converters, or that stand for none."""
NO_OPERATOR = {
    *("add_dynamic_quantize", "add_dynamic_quantize_v2", "add_kv_cache_update", "add_moe"),
    *("add_ragged_softmax", "add_reverse_sequence"),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_every_layer_of_a_release_is_accounted_for(version: str) -> None:
    described = json.loads((FOLDER / f"{version}.json").read_text())
    methods = described["classes"]["INetworkDefinition"]["methods"]
    added = {m for m in methods if m.startswith("add_")}
    named = {layer.method for layer in LAYERS.values()}
    assert not NO_OPERATOR & (KNOWN_LAYERS | named)
    assert added <= KNOWN_LAYERS | NO_OPERATOR | named


class Odd(nn.Module):
    """A ResNet with an operator of its own in each block, and one of PyTorch's at the end."""

    def __init__(self) -> None:
        super().__init__()
        from tests.models.vision import models

        self.net = models.resnet18(num_classes=5)
        for block in self.net.layer1:
            block.relu = Bend()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.airy_ai(self.net(x))


@torch.library.custom_op("trtdsl_stubs::bend", mutates_args=())
def bend(x: torch.Tensor, by: float, clip: bool = True) -> torch.Tensor:
    """``x`` bent."""
    return x.clamp(min=0) + by if clip else x + by


@bend.register_fake
def _(x: torch.Tensor, by: float, clip: bool = True) -> torch.Tensor:
    return torch.empty_like(x)


class Bend(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(bend(x, 0.25))


def odd() -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    torch.manual_seed(0)
    return Odd().eval(), (torch.randn(1, 3, 32, 32),)


def test_the_stub_that_check_prints_runs_as_it_is(tmp_path: Path) -> None:
    """evaluate is PyTorch's own operator, and these keep shape and dtype: nothing to fill in."""
    path = tmp_path / "net.py"
    path.write_text("from tests.test_stubs import odd as odd\n")
    runner = CliRunner()
    result = runner.invoke(app, ["check", f"{path}:odd"])
    assert result.exit_code == 1
    listed, _, stubs = result.stdout.partition('\n\n"""')
    assert listed.startswith("2 operators have no converter\n")
    assert "  trtdsl_stubs.bend.default(f32[1, 64, 8, 8], 0.25)\n" in listed
    line = Bend.forward.__code__.co_firstlineno + 1
    code = "forward: return torch.as_tensor(bend(x, 0.25))"
    for module in ("net.layer1.0.relu", "net.layer1.1.relu"):
        assert f"    at:  {__file__}:{line}, {code} (module {module})\n" in listed
    assert "fix: 4 uses; @trtdsl.converter(torch.ops.trtdsl_stubs.bend.default)" in listed
    assert "  aten.special_airy_ai.default(f32[1, 5])\n" in listed
    assert runner.invoke(app, ["check", f"{path}:odd", "--brief"]).stdout.strip() == listed.strip()
    model, args = odd()
    with pytest.raises(trtdsl.UnsupportedError, match="2 operators have no converter"):
        trtdsl.trace(model, args)
    stub_file = tmp_path / "odd_stub.py"
    stub_file.write_text(f'"""{stubs}')
    module = imported(stub_file)
    net = trtdsl.trace(model, args)
    bent = [op.layer for op in net.operations if isinstance(op.layer, module.Bend)]
    assert bent == [module.Bend(by=0.25, clip=True)] * 4
    torch.testing.assert_close(net.evaluate(*args), model(*args), rtol=1e-4, atol=1e-5)
    assert trtdsl.check(model, args).ok
