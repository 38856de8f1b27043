"""``examples/cpp``: compiled against stand-ins of TensorRT 8's and 10's interface, and run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not here")


@pytest.fixture(scope="module", params=["OLD", "NEW"])
def program(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example as a program, with warnings as errors."""
    made = tmp_path_factory.mktemp("cpp") / "run"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
    include = ["-isystem", ROOT / "tests" / "cpp", f"-D{request.param}"]
    source = ROOT / "examples" / "cpp" / "run.cpp"
    subprocess.run(["g++", *flags, *include, source, "-o", made], check=True)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with an engine and its inputs."""
    (tmp_path / "m.engine").write_text("plan")
    np.save(tmp_path / "x.npy", np.array([[1, 5, 2], [8, -3, 4]], np.float32))
    np.save(tmp_path / "limit.npy", np.array(3, np.int32))
    return tmp_path


def call(program: Path, place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *words], cwd=place, capture_output=True, text=True, timeout=60)


def test_outputs_are_written_with_the_sizes_that_values_decide(program: Path, place: Path) -> None:
    done = call(program, place, "m.engine", "x=x.npy", "limit=limit.npy")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "above <f4 (3)\ndoubled <f4 (2x3)\n"
    doubled, above = (np.load(place / f"{name}.npy") for name in ("doubled", "above"))
    assert doubled.dtype == above.dtype == np.float32
    np.testing.assert_array_equal(doubled, [[2, 10, 4], [16, -6, 8]])
    np.testing.assert_array_equal(above, [5, 8, 4])


def test_an_output_without_elements(program: Path, place: Path) -> None:
    np.save(place / "limit.npy", np.array(9, np.int32))
    assert call(program, place, "m.engine", "x=x.npy", "limit=limit.npy").returncode == 0
    assert np.load(place / "above.npy").shape == (0,)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3)), "input x is <f8, and the engine takes <f4"),
        (np.zeros((5, 3), np.float32), "input x cannot be (5x3)"),
        (np.zeros((2, 3), np.float32, order="F"), "x.npy is in Fortran's order"),
    ],
    ids=["type", "shape", "order"],
)
def test_arrays_that_do_not_fit(
    program: Path, place: Path, array: np.ndarray, message: str
) -> None:
    np.save(place / "x.npy", array)
    done = call(program, place, "m.engine", "x=x.npy", "limit=limit.npy")
    assert done.returncode == 1
    assert done.stderr.startswith(f"run: {message}")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "usage: run m.engine input=x.npy ..."),
        (("m.engine", "x"), "x is not input=FILE.npy"),
        (("absent.engine",), "cannot read absent.engine"),
        (("x.npy",), "TensorRT refused x.npy"),
        (("m.engine", "x=x.npy"), "no input limit; give limit=FILE.npy"),
        (("m.engine", "x=m.engine"), "m.engine is no .npy file of version 1"),
        (("m.engine", "x=x.npy", "limit=limit.npy", "y=x.npy"), "the engine has no input y"),
    ],
    ids=["usage", "word", "absent", "damaged", "missing", "no array", "unknown"],
)
def test_calls_that_do_not_fit(
    program: Path, place: Path, words: tuple[str, ...], message: str
) -> None:
    done = call(program, place, *words)
    assert done.returncode == 1
    assert f"run: {message}" in done.stderr
    assert "not freed" not in done.stderr
    assert not list(place.glob("doubled*"))
