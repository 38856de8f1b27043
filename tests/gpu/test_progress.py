"""Progress as a real TensorRT tells it, and a build that is interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl.progress import Bar

pytestmark = pytest.mark.gpu


def convolutions(count: int = 3) -> nn.Module:
    layers = [nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Sigmoid()) for _ in range(count)]
    return nn.Sequential(*layers).eval()


def test_each_build_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[Any, ...]] = []
    bar = Bar(lambda *line: shown.append(line), lambda phase: None)
    monkeypatch.setattr("trtdsl.progress._drawn", lambda progress: nullcontext(bar))
    x = torch.zeros(1, 8, 16, 16)
    trtdsl.convert(convolutions(), (x,), optimization_level=2, progress=True)
    assert shown, "TensorRT told nothing of the build"
    steps = [(done, steps) for _, done, steps in shown]
    assert all(0 <= done <= steps for done, steps in steps)
    assert any(done == steps > 1 for done, steps in steps), shown


def test_a_build_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    engines: list[Any] = []
    x = torch.ones(1, 8, 8, 8)
    model = convolutions(1)
    thread = threading.Thread(
        target=lambda: engines.append(trtdsl.convert(model, (x,), optimization_level=0))
    )
    thread.start()
    thread.join(timeout=240)
    with torch.no_grad():
        torch.testing.assert_close(engines[0](x.cuda()).cpu(), model(x), rtol=1e-3, atol=1e-3)


SCRIPT = """
import sys, torch
from torch import nn
import trtdsl
from trtdsl import build
layers = [nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Sigmoid()) for _ in range(8)]
network = trtdsl.trace(nn.Sequential(*layers).eval(), (torch.zeros(1, 32, 64, 64),))
build.builder(0)
print("building", flush=True)
try:
    build.build(network, build.BuildOptions(cache=sys.argv[1], optimization_level=3))
    print("built before the signal came", flush=True)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupted_build_ends_and_leaves_no_engine(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    process = subprocess.Popen(command, text=True, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stdout.readline() == "building\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=1)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors[-2000:]
    assert said == "interrupted\n"
    assert not [path for path in tmp_path.rglob("*") if path.suffix == ".part"]
    assert not list(tmp_path.glob("engine/*"))
