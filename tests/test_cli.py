"""The command line: what is printed, where, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner, Result

import trtdsl
from tests import engine_parts, standin
from trtdsl import answers, cli
from trtdsl.arguments import UsageError, byte_count, job, profiles
from trtdsl.cli import app
from trtdsl.runtime import device, files

MODELS = """
import torch
from torch import nn


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 3))


def with_inputs():
    return tiny().eval(), (torch.ones(2, 8),)


class Unsupported(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x)


class Keywords(nn.Module):
    def forward(self, ids, mask=None, *, scale):
        return ids * scale + mask


def broken():
    raise KeyError("weights.pt")


number = 3
"""


@pytest.fixture
def models(tmp_path: Path) -> str:
    path = tmp_path / "models_for_cli.py"
    path.write_text(MODELS)
    return str(path)


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is broken, whatever the terminal was when the command line was imported."""
    monkeypatch.setattr(cli, "_OUT", Console(width=200))
    monkeypatch.setattr(cli, "_ERR", Console(width=200, stderr=True))


def call(*words: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, list(words))


def test_help_documents_the_exit_codes() -> None:
    result = call("--help")
    assert result.exit_code == 0
    for words in ("Exit codes: 0 fine; 1", "2 the command line", "3 conversion", "4 TensorRT"):
        assert words in " ".join(result.output.split())


def test_version_is_the_package_s() -> None:
    result = call("--version")
    assert (result.exit_code, result.output) == (0, f"trtdsl {trtdsl.__version__}\n")


def test_check_finds_all_converters(models: str) -> None:
    result = call("check", f"{models}:tiny", "-i", "input=4x8")
    assert result.exit_code == 0
    assert re.fullmatch(r"all \d operators have converters\n", result.stdout)
    assert "in training mode; it is converted in eval mode" in result.stderr


def test_check_lists_what_is_missing(models: str) -> None:
    result = call("check", f"{models}:Unsupported", "-i", "x=4x4")
    assert result.exit_code == 1
    assert "1 operator has no converter" in result.stdout
    assert "return torch.linalg.svdvals(x)" in result.stdout


def test_an_unsupported_operator_ends_convert_without_a_traceback(models: str) -> None:
    words = ("convert", f"{models}:Unsupported", "-i", "x=4x4", "--backend", "reference")
    result = call(*words)
    assert result.exit_code == 1
    assert "UnsupportedError: 1 operator has no converter" in result.stderr
    assert "Traceback" not in result.output
    assert "Traceback" in call("--traceback", *words).stderr


def test_convert_without_a_gpu_says_so(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trtdsl.tensorrt_api.why_unavailable", lambda: "no GPU was found")
    plain = call("convert", f"{models}:with_inputs")
    assert plain.exit_code == 0
    assert "no engine is built: no GPU was found" in plain.stderr
    assert "Sequential: 1 input" in plain.stdout
    for words in (("-o", "m.engine"), ("--backend", "tensorrt")):
        result = call("convert", f"{models}:with_inputs", *words)
        assert result.exit_code == 4
        assert result.stderr == "UnavailableError: no GPU was found\n"


def test_compare_prints_json_and_fails_outside_of_the_tolerance(models: str) -> None:
    words = ("compare", f"{models}:tiny", "-i", "input=4x8", "--backend", "reference", "--json")
    result = call(*words)
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert data["rows"][1]["relative_error"] <= 1e-5
    half = call(*words, "--precision", "fp16", "--tolerance", "1e-9")
    assert half.exit_code == 1
    assert json.loads(half.stdout)["tolerance"] == 1e-9


def test_inspect_shows_a_network_as_text_and_as_a_drawing(models: str) -> None:
    words = ("inspect", f"{models}:tiny", "-i", "input=4x8", "--dynamic", "input=0:batch:1:4:8")
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "f32[batch, 16]" in result.stdout
    assert "batch is 1 to 8, tuned for 4" in result.stdout
    drawing = call(*words, "--dot").stdout
    assert drawing.startswith('digraph "Sequential" {')
    assert drawing.rstrip().endswith("}")


def test_inspect_shows_an_engine_s_manifest_without_a_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtdsl.tensorrt_api.why_unavailable", lambda: "no GPU was found\n  fix: x")
    path = tmp_path / "m.engine"
    files.write(path, engine_parts.PLAN, engine_parts.F32)
    result = call("inspect", str(path))
    assert result.exit_code == 0, result.output
    for words in ("x: f32[n]", "y: f32[n]", "n is 0 to 100, tuned for 2", "TensorRT 10.13.3.9"):
        assert words in result.stdout
    assert "its layers are not listed: no GPU was found\n" in result.stderr
    path.write_bytes(engine_parts.PLAN[:-1])
    damaged = call("inspect", str(path))
    assert damaged.exit_code == 3
    assert "LoadError" in damaged.stderr
    assert "truncated" in damaged.stderr


def test_doctor_lists_everything_and_says_whether_it_is_enough() -> None:
    result = call("doctor")
    for what in ("GPU", "driver", "TensorRT", "torch", "pycuda", "onnx", "onnxruntime"):
        assert what in result.stdout
    ready = "engines can be built here" in result.stdout
    assert ready != ("engines cannot be built here" in result.stdout)
    assert result.exit_code == (0 if ready else 1)
    assert torch.__version__ in result.stdout


def test_doctor_is_content_with_a_gpu_and_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = device.Gpu(
        index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=139 << 30
    )
    monkeypatch.setattr(device, "_probe", lambda index: gpu)
    monkeypatch.setitem(sys.modules, "tensorrt", standin.load("10.3.0"))
    result = call("doctor")
    assert result.exit_code == 0
    assert "NVIDIA H200, compute capability 9.0, 139.0 GiB" in result.stdout
    assert "10.3.0 (trtdsl takes 8.6, 10.x and 11.x)" in result.stdout
    monkeypatch.setattr(standin.load("10.3.0"), "__version__", "8.5.3")
    old = call("doctor")
    assert old.exit_code == 1
    assert "TensorRT 8.5.3 is too old" in old.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("check", "{}:tiny", "-i", "input=4q8"), "'input=4q8' is no input; write x=1x3x224x224"),
        (("check", "{}:tiny", "-i", "input=4x8:float64"), "is no input"),
        (("check", "{}:tiny", "-i", "x=1", "-i", "x=2"), "given twice"),
        (("check", "{}:absent", "-i", "x=1"), "has no absent"),
        (("check", "{}:number"), "gives int, not a torch.nn.Module"),
        (("check", "no.such.module:f"), "no.such.module cannot be imported"),
        (("check", "nowhere.py:f"), "there is no file nowhere.py"),
        (("check", "{}:tiny"), "say what they are, such as -i input=1x3x224x224"),
        (("check", "{}:Keywords"), "such as -i ids=1x3x224x224; forward takes ids, mask, scale"),
        (("check", "{}:tiny", "-i", "x=4x8"), "x is no input of Sequential.forward, which takes"),
        (("check", "{}:tiny", "--stub", "no/such.py"), "there is no folder no to write such.py"),
        (("check", "models"), "is not MODULE:FACTORY"),
        (("check", "{}:tiny", "--dynamic", "x=0:n"), "write x=0:batch:1:8:32"),
        (("check", "{}:tiny", "--dynamic", "x=0:n:4:2:8"), "is not min <= opt <= max"),
        (("check", "{}:tiny", "--dynamic", "x=0:1n:1:2:8"), "1n is no name"),
        (("convert", "{}:tiny", "--precision", "fp8"), "--precision is one of fp32,"),
        (("convert", "{}:tiny", "--workspace", "much"), "write 4GiB"),
        (("convert", "{}:tiny", "--workspace", "0"), "leaves no memory"),
        (("convert", "{}:tiny", "--fallback", "eager"), "--fallback is torch, not eager"),
        (("compare", "{}:tiny", "--tolerance", "-1"), "--tolerance"),
        (("convert", "{}:tiny", "--profile", "n=1:2"), "write batch=8:16:32,length=128"),
        (("convert", "{}:tiny", "--backend", "onnx"), "--backend is auto, tensorrt or reference"),
        (("convert", "{}:tiny", "--backend", "reference", "-o", "m"), "makes no engine"),
        (("convert", "{}:tiny", "-o", "no/such/m.engine"), "there is no folder no/such"),
        (("convert", "{}:tiny", "-o", "."), ". is a folder: name the file, -o m.engine"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_is_exit_code_2(
    words: tuple[str, ...], message: str, models: str
) -> None:
    result = call(*(word.format(models) for word in words))
    assert result.exit_code == 2, result.output
    assert message in " ".join(result.stderr.replace("\u2502", " ").split())


def test_what_a_factory_raises_is_told(models: str) -> None:
    result = call("check", f"{models}:broken")
    assert result.exit_code == 3
    assert "broken raised KeyError: 'weights.pt'" in result.stderr
    assert re.search(r"at:  .*models_for_cli\.py:\d+, broken: raise KeyError", result.stderr)


@pytest.mark.parametrize(
    ("code", "what", "at"),
    [
        ("x = 1 / 0", "raised ZeroDivisionError: division by zero", "<module>: x = 1 / 0"),
        ("def f(:", "raised SyntaxError", "models_for_cli.py:1: def f(:"),
    ],
)
def test_what_a_file_raises_is_told_with_its_line(
    code: str, what: str, at: str, models: str
) -> None:
    Path(models).write_text(code)
    result = call("check", f"{models}:f")
    assert result.exit_code == 3
    assert what in result.stderr
    assert at in result.stderr
    assert "Traceback" not in result.stderr


def test_an_error_that_nobody_expected_is_no_finding(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(cli, "job", broken)
    result = call("check", f"{models}:tiny", "-i", "input=4x8")
    assert result.exit_code == 3
    assert "AssertionError: a bug" in result.stderr


def test_inputs_are_seeded_and_placed_by_name(models: str) -> None:
    texts = ("ids=2x3:int64", "scale=", "mask=2x3:bool")
    work = job(f"{models}:Keywords", texts, ("ids=0:n:1:2:4",))
    assert work.args is not None
    assert work.kwargs is not None
    ids, mask = work.args
    assert (ids.dtype, mask.dtype, list(work.kwargs)) == (torch.int64, torch.bool, ["scale"])
    assert work.kwargs["scale"].shape == ()
    assert 0 <= int(ids.min()) <= int(ids.max()) < 10
    again = job(f"{models}:Keywords", texts, ()).args
    assert again is not None
    assert torch.equal(ids, again[0])
    assert work.dynamic_shapes is not None
    assert work.dynamic_shapes["ids"][0].max == 4
    assert work.opt == {"n": 2}
    example = job(f"{models}:with_inputs", (), ())
    assert example.args is not None
    assert example.args[0].shape == (2, 8)
    assert not example.was_training


@pytest.mark.parametrize(
    ("text", "count"), [("4GiB", 4 << 30), ("512M", 512 << 20), ("64 kb", 64 << 10), ("1000", 1000)]
)
def test_byte_count(text: str, count: int) -> None:
    assert byte_count(text) == count


def test_byte_count_refuses_other_words() -> None:
    with pytest.raises(UsageError, match="'4 GBit' is no amount"):
        byte_count("4 GBit")


def test_profiles_as_text() -> None:
    assert profiles(["batch=1", "batch=8:16:32, n=4"]) == [
        {"batch": 1},
        {"batch": (8, 16, 32), "n": 4},
    ]
    assert profiles([]) is None


def test_convert_holds_the_answer_against_pytorch(
    models: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("convert", f"{models}:tiny", "-i", "input=4x8", "--backend", "reference", "--verify")
    result = call(*words)
    assert result.exit_code == 0, result.output
    assert "the answer for the inputs is PyTorch's" in result.stdout
    monkeypatch.setattr(answers, "errors", lambda *_: (1.0, 0.5))
    wrong = call(*words)
    assert wrong.exit_code == 3
    assert "error of 0.5 against PyTorch's, and 0.0001 is allowed" in wrong.stderr


def test_convert_with_fallback_shows_the_pieces_and_writes_none(models: str) -> None:
    words = ("convert", f"{models}:Unsupported", "-i", "x=4x4", "--backend", "reference")
    result = call(*words, "--fallback", "torch")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("PyTorch runs everything, 1 operator, and no engine is built")
    assert "return torch.linalg.svdvals(x)" in result.stdout
    assert "FallbackWarning" not in result.output
    written = call(*words, "--fallback", "torch", "-o", "m.engine")
    assert written.exit_code == 2
    assert "which no file holds: leave out -o" in written.stderr
    plain = call("convert", f"{models}:tiny", "-i", "input=4x8", "--fallback", "torch", *words[-2:])
    assert plain.exit_code == 0
    assert plain.stdout == "Reference(Sequential)\n"


def test_it_runs_as_a_module_of_python() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "trtdsl", "--help"], capture_output=True, text=True, check=True
    )
    assert "Usage: trtdsl" in run.stdout


def test_profiles_are_held_to_the_sizes_without_a_gpu(models: str) -> None:
    sizes = ("-i", "input=4x8", "--dynamic", "input=0:batch:1:4:8", "--backend", "reference")
    result = call("convert", f"{models}:tiny", *sizes, "--profile", "rows=2")
    assert result.exit_code == 3
    assert "a profile names 'rows'; the dynamic sizes are batch" in result.stderr
    assert call("convert", f"{models}:tiny", *sizes, "--profile", "batch=2").exit_code == 0
