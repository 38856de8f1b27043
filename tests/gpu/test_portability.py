"""Plans for later versions and other GPUs, built and loaded on this one."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import trtdsl
from tests.gpu.mlp import TOLERANCE, Mlp, convert, data, exact
from trtdsl.cli import app
from trtdsl.tensorrt_api import import_tensorrt

pytestmark = pytest.mark.gpu


def require_lean_runtime() -> None:
    """Version-compatible plans hold TensorRT's lean runtime, a library that is not always there."""
    library = f"libnvinfer_lean.so.{import_tensorrt().__version__.split('.')[0]}"
    try:
        ctypes.CDLL(library)
    except OSError as error:
        pytest.skip(f"no version-compatible plan is built without {library}: {error}")


@pytest.mark.parametrize(
    "options",
    [
        {"version_compatible": True},
        {"hardware_compatible": True},
        {"version_compatible": True, "hardware_compatible": True},
    ],
    ids=lambda options: "+".join(options),
)
def test_it_is_built_saved_and_loaded(options: dict[str, Any], tmp_path: Path) -> None:
    if options.get("version_compatible"):
        require_lean_runtime()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        engine = convert(Mlp(), data(0), **options)
    x = data(3)
    torch.testing.assert_close(engine(x.cuda()).cpu(), exact(x), **TOLERANCE)
    engine.save(tmp_path / "m.engine")
    loaded = trtdsl.load(tmp_path / "m.engine")
    assert loaded.manifest == engine.manifest
    assert torch.equal(loaded(x.cuda()), engine(x.cuda()))


def test_inspect_shows_the_engine_without_running_it(tmp_path: Path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        engine = convert(Mlp(), data(0), refit=True)
    engine.save(tmp_path / "m.engine")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.engine")])
    assert result.exit_code == 0, result.output
    for words in ("runs on", "refit", "workspace of each context", "FP32", "layers"):
        assert words in result.output, result.output
