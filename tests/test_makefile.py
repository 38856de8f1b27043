"""What ``make`` installs beside the rest where it finds a GPU, by programs that only note it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def program(path: Path, body: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


def installed(place: Path, gpu: bool, pip: str) -> tuple[int, list[str]]:
    """``make``'s status, and what it gave to pip."""
    venv, log = place / "venv", place / "log"
    program(venv / "bin/pip", f'echo "$@" >> {log}\n{pip}')
    program(place / "path/nvidia-smi", f"exit {int(not gpu)}")
    (venv / ".installed").touch()
    own = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}  # of make test
    path = f"{place / 'path'}:{os.environ['PATH']}"
    command = ["make", f"VENV={venv}", f"{venv}/.tensorrt"]
    done = subprocess.run(command, cwd=ROOT, env={**own, "PATH": path}, check=False)
    return done.returncode, log.read_text().splitlines() if log.exists() else []


def test_tensorrt_and_pycuda_where_there_is_a_gpu(tmp_path: Path) -> None:
    status, (given,) = installed(tmp_path, gpu=True, pip="exit 0")
    assert status == 0
    assert given.endswith("-c constraints.txt -e .[tensorrt]")


def test_tensorrt_alone_where_pycuda_cannot_be_built(tmp_path: Path) -> None:
    status, given = installed(tmp_path, gpu=True, pip='case "$*" in *-e*) exit 1;; esac')
    assert status == 0
    assert given[1].endswith("-c constraints.txt tensorrt")


def test_nothing_without_a_gpu_and_an_error_where_nothing_can_be_installed(tmp_path: Path) -> None:
    assert installed(tmp_path / "none", gpu=False, pip="exit 0") == (0, [])
    status, _ = installed(tmp_path / "offline", gpu=True, pip="exit 1")
    assert status != 0
