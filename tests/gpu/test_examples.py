"""Examples whose point is an engine: saved, loaded, run from C++, and a detector to its boxes."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import site
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import trtdsl

EXAMPLES = Path(__file__).parents[2] / "examples"

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
    pytest.mark.filterwarnings("ignore::trtdsl.PrecisionWarning"),  # of TensorRT 8.6, in float16
]


def _folder(header: str, *places: str | Path) -> Path:
    """The folder of a header. Skips where there is none."""
    named = [Path(place) for place in places if str(place)]
    packaged = [p for s in site.getsitepackages() for p in Path(s).glob("nvidia/*/include")]
    for folder in [*named, Path("/usr/include"), *packaged]:
        if (folder / header).exists():
            return folder
    pytest.skip(f"{header} is not here; TENSORRT_INCLUDE and CUDA_HOME say where to look")


def _loaded(name: str) -> Path:
    """The file of a library that this process has loaded, TensorRT's Python package's mostly."""
    found = re.findall(rf"\S*/{name}\.so\S*", Path("/proc/self/maps").read_text())
    assert found, f"{name} is not loaded"
    return Path(found[0])


@pytest.fixture
def saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """The folder that example 6 has written to, whose answers were near PyTorch's."""
    torch.ones(1, device="cuda")  # which loads CUDA's runtime
    example = runpy.run_path(str(EXAMPLES / "6_save_load_run.py"))
    example["main"](tmp_path)
    errors = [float(e) for e in re.findall(r": ([\d.e+-]+) off", capsys.readouterr().out)]
    assert len(errors) == 4
    assert max(errors) < 5e-3
    return tmp_path


def test_an_engine_runs_from_cpp_as_from_python(saved: Path) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not here")
    tensorrt = os.environ.get("TENSORRT_INCLUDE", "/usr/include/x86_64-linux-gnu")
    home = os.environ.get("CUDA_HOME", "/usr/local/cuda")
    folders = (_folder("NvInfer.h", tensorrt), _folder("cuda_runtime_api.h", f"{home}/include"))
    libraries = (_loaded("libnvinfer"), _loaded("libcudart"))
    program = saved / "run"
    subprocess.run(
        ["g++", "-std=c++17", "-Wall", "-Wextra", EXAMPLES / "cpp" / "run.cpp", "-o", program]
        + [word for folder in folders for word in ("-isystem", folder)]
        + [word for path in libraries for word in (path, f"-Wl,-rpath,{path.parent}")],
        check=True,
    )
    done = subprocess.run(
        [program, "m.engine", "x=x.npy"], cwd=saved, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "output <f4 (4x16)\n"
    expected = trtdsl.load(saved / "m.engine")(np.load(saved / "x.npy"))
    np.testing.assert_array_equal(np.load(saved / "output.npy"), expected)


def test_the_digits_are_read_by_an_engine(capsys: pytest.CaptureFixture[str]) -> None:
    """What ``make demo`` runs where TensorRT is."""
    pytest.importorskip("sklearn", reason="make demo installs scikit-learn")
    runpy.run_path(str(EXAMPLES / "1_convert.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert "Engine: 450 scans that were not trained on" in out
    accuracies = re.findall(r"accuracy of \w+: ([\d.]+)%", out)
    assert min(map(float, accuracies)) >= 97
    assert float(re.findall(r"same digit: ([\d.]+)%", out)[0]) >= 99.5
    assert float(re.findall(r"largest difference: ([\d.e+-]+)", out)[0]) <= 1e-3


@pytest.mark.filterwarnings("ignore:`create_unbacked_symint`:FutureWarning")
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_yolov3_is_an_engine_to_its_last_box(
    monkeypatch: pytest.MonkeyPatch, precision: str | None
) -> None:
    from tests.test_yolov3_example import PLACE, detector

    monkeypatch.syspath_prepend(str(PLACE))
    monkeypatch.delitem(sys.modules, "net", raising=False)
    import net

    model: Any = detector(net)
    image = torch.rand(1, 3, 96, 96)
    with torch.no_grad():
        boxes, scores, labels = model(image)
    engine = trtdsl.convert(
        model, (image,), precision=precision, backend="tensorrt", optimization_level=0
    )
    found = [y.cpu() for y in engine(image.cuda())]
    assert len(scores) >= 20
    if precision is None:
        assert len(found[1]) == len(scores)
        torch.testing.assert_close(found[1], scores, rtol=1e-3, atol=1e-3)
        torch.testing.assert_close(found[0], boxes, rtol=1e-2, atol=0.1)
        assert (found[2] == labels).float().mean() >= 0.95  # two scores may change places
        return
    best = min(len(scores), len(found[1])) // 2
    assert best >= 8
    torch.testing.assert_close(found[1][:best], scores[:best], rtol=0, atol=2e-2)
