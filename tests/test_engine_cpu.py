"""Engine files and the checks on loading and calling, without a GPU."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import trtdsl.engine
from tests.engine_parts import F32, PLAN, Trt
from trtdsl.engine import Engine, load
from trtdsl.errors import LoadError, RunError, UnavailableError
from trtdsl.runtime import device, driver, files

GPU = device.Gpu(index=0, name="GPU", compute_capability="9.0", cuda="12.4", memory=1 << 30)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(trtdsl.engine, "deserialize", lambda *_: Trt())
    monkeypatch.setattr(trtdsl.engine, "primary_context", lambda _: nullcontext())
    trt = SimpleNamespace(LayerInformationFormat=SimpleNamespace(JSON=1))
    monkeypatch.setattr(trtdsl.engine, "import_tensorrt", lambda: trt)
    return Engine(PLAN, F32)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.engine"
    files.write(path, PLAN, F32)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the TensorRT and the GPU of ``F32``."""
    trt = SimpleNamespace(__version__=F32.tensorrt)
    monkeypatch.setattr(files, "import_tensorrt", lambda: trt)
    monkeypatch.setattr(files, "require_gpu", lambda _: GPU)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_engines_modules_need_no_torch() -> None:
    code = (
        "import sys; import trtdsl.engine, trtdsl.runtime.pycuda_side, trtdsl.runtime.pinned;"
        "print([m for m in ('torch', 'tensorrt', 'pycuda', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_save_writes_the_plan_exactly_and_reads_back(saved: Path) -> None:
    assert saved.read_bytes() == PLAN
    assert files.read(saved) == (PLAN, F32)
    assert names(saved.parent) == ["m.engine", "m.engine.json"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_save_leaves_no_part(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    replace, calls = os.replace, []

    def broken(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == failing:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", broken)
    other = PLAN[::-1]
    changed = dataclasses.replace(F32, sha256=files.digest(other))
    with pytest.raises(OSError, match="disk full"):
        files.write(saved, other, changed)
    assert [call.name for call in calls] == ["m.engine", "m.engine.json"][:failing]
    assert names(saved.parent) == ["m.engine", "m.engine.json"]
    if failing == 1:
        assert files.read(saved) == (PLAN, F32)
    else:
        with pytest.raises(LoadError, match="damaged or another engine's"):
            files.read(saved)


def test_a_failed_write_leaves_the_old_files(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write(saved, PLAN[::-1], F32)
    assert files.read(saved) == (PLAN, F32)
    assert names(saved.parent) == ["m.engine", "m.engine.json"]


def edit(saved: Path, **changes: Any) -> None:
    place = files.manifest_path(saved)
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no plan": (Path.unlink, r"there is no engine file .*m\.engine\n  fix:"),
    "no manifest": (lambda p: files.manifest_path(p).unlink(), r"no manifest .*m\.engine\.json"),
    "garbled": (lambda p: files.manifest_path(p).write_bytes(b'{"format": '), "is not JSON"),
    "binary": (lambda p: files.manifest_path(p).write_bytes(PLAN), "is not JSON"),
    "not ours": (lambda p: files.manifest_path(p).write_text("[]"), "format is None"),
    "format": (lambda p: edit(p, format="trtdsl-engine/9"), "'trtdsl-engine/9'"),
    "field": (lambda p: edit(p, inputs=7), r"m\.engine\.json: the manifest is damaged"),
    "truncated": (
        lambda p: p.write_bytes(PLAN[:700]),
        "has 700 bytes, and its manifest says 1280: it is truncated",
    ),
    "longer": (lambda p: p.write_bytes(PLAN + b"x"), "1281 bytes, .* 1280: it is another"),
    "flipped": (lambda p: p.write_bytes(b"\xff" + PLAN[1:]), "has the sha256 .* damaged"),
    "foreign": (lambda p: edit(p, sha256="ab" * 32), "manifest says abababababababab"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(saved: Path, here: None, name: str) -> None:
    damage, words = DAMAGE[name]
    damage(saved)
    with pytest.raises(LoadError, match=words):
        load(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"tensorrt": "8.6.1"},
            r"built by TensorRT 8\.6\.1 and this is TensorRT 10\.13\.3\.9, another major version",
        ),
        ({"tensorrt": "10.3.0"}, r"TensorRT 10\.3\.0 and .* 10\.13\.3\.9, another version"),
        (
            {"compute_capability": "8.6", "device": "NVIDIA A10"},
            r"capability 8\.6 \(NVIDIA A10\), and GPU 0 here is GPU \(compute capability 9\.0\)",
        ),
    ],
)
def test_made_for_another_machine(
    saved: Path, here: None, change: dict[str, Any], words: str
) -> None:
    edit(saved, **change)
    with pytest.raises(LoadError, match=words) as error:
        load(saved)
    assert "fix: build the engine again here" in str(error.value)


def test_load_reaches_tensorrt_when_all_fits(
    saved: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []

    def deserialize(*args: Any) -> Trt:
        given.append(args)
        return Trt()

    monkeypatch.setattr(trtdsl.engine, "deserialize", deserialize)
    assert load(str(saved), device=0).plan == PLAN
    assert given == [(PLAN, F32, 0)]


@pytest.mark.parametrize("given", [None, b"plan", 3])
def test_load_takes_a_path(given: Any) -> None:
    with pytest.raises(LoadError, match=rf"not from {type(given).__name__}\n.*trtdsl\.load\("):
        load(given)


def test_load_without_tensorrt(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UnavailableError, match=r"TensorRT(.|\n)*fix: pip install"):
        load(saved)


def test_load_without_a_gpu(saved: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(files, "import_tensorrt", lambda: SimpleNamespace(__version__=F32.tensorrt))

    def no_driver() -> Any:
        raise UnavailableError("no driver")

    monkeypatch.setattr(driver, "library", no_driver)
    with pytest.raises(UnavailableError, match="no NVIDIA GPU 0 here: no driver") as error:
        load(saved)
    assert 'backend="reference"' in str(error.value)


def test_pycuda_asked_for_and_missing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    asking = Engine(PLAN, F32, host_copies="pycuda")
    with pytest.raises(
        UnavailableError, match=r"pycuda was asked for, and cannot be imported(.|\n)*'auto'"
    ):
        asking(np.zeros(2, np.float32))


def test_wrong_calls_are_refused_before_anything_runs(engine: Engine) -> None:
    for args, words in (
        ((torch.zeros(2),), r"input x is on cpu, and this runs on cuda:0\n  fix: x\.cuda\(\)"),
        ((torch.zeros(2, dtype=torch.float64),), "x is float64, and the engine takes float32"),
        ((np.zeros(101, np.float32),), r"n in 0\.\.100"),
        ((), "takes 1 argument"),
        ((None,), "x was a tensor at conversion, and now is None"),
    ):
        with pytest.raises(RunError, match=words):
            engine(*args)


def test_inspect_reads_both_forms(engine: Engine) -> None:
    trt = engine._trt_engine
    trt.text = '{"Layers": ["conv", "relu"], "Bindings": ["x"]}'
    assert engine.inspect() == [{"Name": "conv"}, {"Name": "relu"}]
    trt.text = '{"Layers": [{"Name": "conv", "Outputs": []}]}'
    assert engine.inspect() == [{"Name": "conv", "Outputs": []}]
    trt.text = "no engine information"
    with pytest.raises(RunError, match="no engine information"):
        engine.inspect()


def test_engine_tells_about_itself(engine: Engine, tmp_path: Path) -> None:
    assert repr(engine) == "Engine(x: f32[n] -> y: f32[n])"
    assert (engine.num_layers, engine.device_memory) == (3, 1024)
    engine._trt_engine.device_memory_size_v2 = 2048
    assert engine.device_memory == 2048
    engine.save(tmp_path / "e.engine")
    assert files.read(tmp_path / "e.engine") == (PLAN, engine.manifest)


def test_a_new_engine_gets_its_digest(engine: Engine) -> None:
    blank = dataclasses.replace(F32, sha256="", size=0)
    assert Engine(PLAN, blank).manifest == F32
