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


def test_releases_that_have_a_layer_are_named() -> None:
    said = layer_note("_c10d_functional.all_reduce.default")
    assert said == "TensorRT 10.16 and later have INetworkDefinition.add_dist_collective"
    assert layer_note("aten.igamma.default") == ""
    for method, first in LAYERS.values():
        for version in VERSIONS:
            described = json.loads((FOLDER / f"{version}.json").read_text())
            has = method in described["classes"]["INetworkDefinition"]["methods"]
            numbers = [[int(n) for n in v.split(".")[:2]] for v in (version, first)]
            assert has == (numbers[0] >= numbers[1]), (method, version)
