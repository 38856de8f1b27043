"""Engines on the GPU they were asked for, whatever torch's current one is; several GPUs at once."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
import torch

import trtdsl
from tests.gpu.mlp import TOLERANCE, convert, data, exact, mlp_engine
from trtdsl.engine import Engine
from trtdsl.errors import RunError, UnavailableError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]

TWO = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")


def on(device: str) -> Engine:
    built = mlp_engine()
    return Engine(built.plan, built.manifest, device=device)


def test_a_gpu_that_is_not_there() -> None:
    with pytest.raises(UnavailableError, match="no NVIDIA GPU 99 here"):
        on("cuda:99")
    with pytest.raises(RunError, match="'cpu' is no GPU"):
        on("cpu")


def test_replicas_on_one_gpu() -> None:
    with mlp_engine().replicate(["cuda:0"]) as many:
        xs = [data(seed, 1 + seed % 8) for seed in range(40)]
        futures = [many.run_async(x.numpy()) for x in xs]
        for x, future in zip(xs, futures, strict=True):
            torch.testing.assert_close(torch.from_numpy(future.result(60)), exact(x), **TOLERANCE)
        x = data(0).cuda()
        torch.testing.assert_close(many(x).cpu(), exact(x), **TOLERANCE)


@TWO
@pytest.mark.parametrize("current", [0, 1])
@pytest.mark.parametrize("graphs", [False, True])
@pytest.mark.parametrize("shared", [False, True])
def test_whatever_the_current_device_is(current: int, graphs: bool, shared: bool) -> None:
    engine = on("cuda:1")
    engine.graphs = graphs
    engine.share_workspace = shared
    assert engine.device == "cuda:1"
    with torch.cuda.device(current):
        for seed in range(4):
            x = data(seed, 1 + seed % 2)
            for _ in range(2):
                y = engine(x.to("cuda:1"))
                assert y.device == torch.device("cuda", 1)
                torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)
            np.testing.assert_array_equal(engine(x.numpy()), y.cpu().numpy())
        assert torch.cuda.current_device() == current
        side = torch.cuda.Stream("cuda:1")
        with torch.cuda.stream(side):
            y = engine(data(7).to("cuda:1"))
        side.synchronize()
        torch.testing.assert_close(y.cpu(), exact(data(7)), **TOLERANCE)
    with pytest.raises(RunError, match=r"x is on cuda:0, and this runs on cuda:1\n  fix: x\.to"):
        engine(data(0).to("cuda:0"))


@TWO
@pytest.mark.parametrize("graphs", [False, True])
def test_dropped_engines_leave_the_current_device(graphs: bool) -> None:
    for _ in range(2):
        engine = on("cuda:1")
        engine.graphs = graphs
        for x in (data(0).to("cuda:1"), data(0).numpy()):
            engine(x)
        del engine
        gc.collect()
        assert torch.cuda.current_device() == 0
        assert data(0).cuda().device == torch.device("cuda", 0)


@TWO
def test_built_and_loaded_on_the_second(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(16, 4).eval()
    x = data(0)
    want = model(x).detach()
    engine = convert(model, x, device="cuda:1")
    assert engine.device == "cuda:1"
    torch.testing.assert_close(engine(x.to("cuda:1")).cpu(), want, **TOLERANCE)
    engine.save(tmp_path / "m.engine")
    for device in ("cuda:0", "cuda:1"):
        loaded = trtdsl.load(tmp_path / "m.engine", device=device)
        torch.testing.assert_close(loaded(x.to(device)).cpu(), want, **TOLERANCE)


@TWO
def test_two_gpus_serve_one_queue() -> None:
    with on("cuda:0").replicate(["cuda:0", "cuda:1"]) as many:
        xs = [data(seed, 1 + seed % 8) for seed in range(400)]
        futures = [many.run_async(x.numpy()) for x in xs]
        for x, future in zip(xs, futures, strict=True):
            torch.testing.assert_close(torch.from_numpy(future.result(60)), exact(x), **TOLERANCE)
        used = {engine.device: engine.memory.contexts for engine in many.engines}
        assert all(used.values()), f"a GPU has served no call: contexts {used}"
        for device in ("cuda:0", "cuda:1"):
            y = many(data(1).to(device))
            assert str(y.device) == device
            torch.testing.assert_close(y.cpu(), exact(data(1)), **TOLERANCE)
