"""The cache under a real TensorRT: the same engine again, faster; timings that it takes back."""

from __future__ import annotations

import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl import timings
from trtdsl.build import BuildOptions, build, builder
from trtdsl.cache import Store
from trtdsl.network import Network

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def network() -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.Conv2d(32, 8, 3)
        ).eval()
    return trtdsl.trace(model, (torch.zeros(1, 3, 24, 24),))


def kinds(place: Path) -> list[str]:
    return sorted(entry.kind for entry in Store(place, limit=0).entries())


def seconds(made: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    result = made()
    return time.perf_counter() - start, result


def test_the_same_build_again_is_the_same_engine(
    network: Network, tmp_path: Path, record: Callable[..., None]
) -> None:
    builder(0)
    options = BuildOptions(cache=tmp_path, optimization_level=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        built, first = seconds(lambda: build(network, options))
        found, again = seconds(lambda: build(network, options))
    record(test="engine cache", build_seconds=built, cached_seconds=found)
    assert again.plan == first.plan
    assert again.manifest == first.manifest
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1)).cuda()
    assert torch.equal(again(x), first(x))
    assert kinds(tmp_path) == ["engine", "timing"]


@pytest.mark.parametrize("where", ["held", "on the disk"])
def test_timings_are_taken_back(
    network: Network,
    where: str,
    tmp_path: Path,
    record: Callable[..., None],
) -> None:
    options = BuildOptions(cache=tmp_path, optimization_level=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a refusal of the timings would be one
        cold, first = seconds(lambda: build(network, options))
        (engine,) = (tmp_path / "engine").iterdir()
        engine.unlink()
        if where == "on the disk":
            timings.forget()  # as another process begins
        warm, again = seconds(lambda: build(network, options))
    record(test=f"timing cache, {where}", cold_seconds=cold, warm_seconds=warm)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1)).cuda()
    torch.testing.assert_close(again(x), first(x), rtol=1e-4, atol=1e-5)


def test_damaged_timings_are_ignored(network: Network, tmp_path: Path) -> None:
    options = BuildOptions(cache=tmp_path, optimization_level=0)
    build(network, options)
    store = Store(tmp_path, limit=1 << 30)
    (timing,) = (entry for entry in store.entries() if entry.kind == "timing")
    store.update("timing", timing.key, "no timings", lambda _: b"not what TensorRT wrote" * 10)
    (engine,) = (tmp_path / "engine").iterdir()
    engine.unlink()
    with warnings.catch_warnings():  # TensorRT 8.6 takes no notice of them and says nothing
        warnings.filterwarnings("ignore", "TensorRT refused 230 bytes", trtdsl.CacheWarning)
        built = build(network, options)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(built(x.cuda()).cpu(), network.evaluate(x), rtol=1e-4, atol=1e-5)


SCRIPT = """
import sys, warnings
import torch
from torch import nn
import trtdsl
warnings.simplefilter("error", trtdsl.CacheWarning)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 8), nn.ReLU()).eval()
x = torch.ones(2, 8)
engine = trtdsl.convert(model, (x,), optimization_level=0, cache=sys.argv[1])
torch.testing.assert_close(engine(x.cuda()).cpu(), model(x), rtol=1e-3, atol=1e-3)
print("agreed")
"""


def test_processes_that_build_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "cache")]
    both = [subprocess.Popen(command, text=True, stdout=-1, stderr=-1) for _ in range(2)]
    for process in both:
        said, failed = process.communicate(timeout=240)
        assert (process.returncode, said.strip()) == (0, "agreed"), failed[-2000:]
    assert kinds(tmp_path / "cache") == ["engine", "timing"]
