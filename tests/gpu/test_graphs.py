"""Runs as CUDA graphs against plain runs, bit for bit; whose the outputs are."""

from __future__ import annotations

import gc
import threading
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests.gpu.mlp import TOLERANCE, convert, data, exact, mlp_engine
from trtdsl.engine import Engine
from trtdsl.errors import RunError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]

SLEEP = 1_000_000_000  # cycles, some half a second
STREAMS = pytest.mark.parametrize("side", [False, True])


def graphed(mode: Any = True, **options: Any) -> Engine:
    built = mlp_engine()
    engine = Engine(built.plan, built.manifest, **options)
    engine.graphs = mode
    return engine


def stream_of(side: bool) -> torch.cuda.Stream:
    return torch.cuda.Stream() if side else torch.cuda.default_stream()


@STREAMS
@pytest.mark.parametrize("mode", [True, "borrow"])
def test_bit_for_bit_as_without(mode: Any, side: bool) -> None:
    plain, engine = mlp_engine(), graphed(mode)
    with torch.cuda.stream(stream_of(side)):
        for round_ in range(4):
            for rows in (1, 8, 3, 3, 5):
                x = data(10 * round_ + rows, rows).cuda()
                y = engine(x)
                assert torch.equal(y, plain(x)), f"round {round_}, {rows} rows"
                torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)
    torch.cuda.synchronize()
    assert engine.memory.contexts >= 4  # one for each batch at least: a graph's state is its own
    assert engine.memory.workspaces == 1


@pytest.mark.parametrize("mode", [True, "borrow"])
def test_tensors_that_lie_where_others_lay_are_not_copied(mode: Any) -> None:
    engine = graphed(mode)
    x = data(0).cuda()
    for seed in range(12):
        x.copy_(data(seed))
        torch.cuda.synchronize()
        y = engine(x)
        torch.testing.assert_close(y.cpu(), exact(data(seed)), **TOLERANCE)
    (lane,) = engine._runners.torch()._lanes.values()
    assert lane.captured is not None
    assert 1 <= len(lane.captured.at) <= 2  # an answer is made while the last one is still there
    assert engine.memory.contexts == 1 + len(lane.captured.at)
    assert engine.memory.workspaces == 1


@STREAMS
def test_outputs_are_the_callers(side: bool) -> None:
    engine = graphed()
    with torch.cuda.stream(stream_of(side)):
        xs = [data(seed).cuda() for seed in range(6)]
        ys = [engine(x) for x in xs]
    torch.cuda.synchronize()
    assert len({y.data_ptr() for y in ys}) == 6
    for x, y in zip(xs, ys, strict=True):
        torch.testing.assert_close(y.cpu(), exact(x), **TOLERANCE)


def test_borrowed_outputs_are_the_next_calls() -> None:
    engine = graphed("borrow")
    first = engine(data(0).cuda())
    kept = first.clone()
    second = engine(data(1).cuda())
    assert first.data_ptr() == second.data_ptr()
    assert not torch.equal(first, kept)
    torch.testing.assert_close(second.cpu(), exact(data(1)), **TOLERANCE)
    del engine
    gc.collect()
    torch.testing.assert_close(second.cpu(), exact(data(1)), **TOLERANCE)  # kept by the tensor


@STREAMS
def test_in_order_on_the_current_stream(side: bool) -> None:
    engine, stream = graphed(), stream_of(side)
    with torch.cuda.stream(stream):
        engine(data(0).cuda())
    for seed in range(3):
        source = data(seed).cuda()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            x = torch.zeros(4, 16, device="cuda")
            torch.cuda._sleep(SLEEP)
            x.copy_(source)
            y = engine(x)
            z = y.clone()
            x.zero_()
        assert not stream.query(), "the host waited for the GPU"
        stream.synchronize()
        torch.testing.assert_close(z.cpu(), exact(data(seed)), **TOLERANCE)


def test_inputs_that_start_anywhere_and_given_outputs() -> None:
    engine = graphed()
    x = torch.empty(65, device="cuda")[1:].view(4, 16)
    x.copy_(data(3))
    y = torch.full((4, 8), float("nan"), device="cuda")
    assert engine.run_into(y, x) is y
    torch.testing.assert_close(y.cpu(), exact(data(3)), **TOLERANCE)
    torch.testing.assert_close(engine(x).cpu(), exact(data(3)), **TOLERANCE)


@pytest.mark.parametrize("mode", [False, True, "borrow"])
def test_outputs_in_the_memory_of_inputs(mode: Any) -> None:
    engine = graphed(mode)
    x = torch.empty(4, 16, device="cuda")
    y = x.view(-1)[:32].view(4, 8)
    for seed in range(4):
        x.copy_(data(seed))
        torch.cuda.synchronize()
        engine.run_into(y, x)
        torch.testing.assert_close(y.cpu(), exact(data(seed)), **TOLERANCE)


@pytest.mark.parametrize("host_copies", ["pycuda", "torch"])
def test_numpy(host_copies: Any) -> None:
    if host_copies == "pycuda":
        pytest.importorskip("pycuda.driver")
    engine, plain = graphed(host_copies=host_copies), mlp_engine()
    answers = [(x, engine(x.numpy())) for x in (data(seed, 1 + seed % 3) for seed in range(12))]
    for x, y in answers:
        np.testing.assert_array_equal(y, plain(x.cuda()).cpu().numpy())


def test_threads_capture_while_others_run() -> None:
    engine, plain = graphed(), mlp_engine()
    xs = [data(seed, 1 + seed % 8) for seed in range(16)]
    want = [plain(x.cuda()).cpu() for x in xs]
    torch.cuda.synchronize()
    failures: list[BaseException] = []

    def work(index: int) -> None:
        try:
            # One thread stays on the default stream, which may not break the others' captures.
            with torch.cuda.stream(stream_of(index > 0)):
                for step in range(100):
                    kind = (step * 3 + index) % len(xs)
                    y = engine(xs[kind].cuda())
                    assert torch.equal(y.cpu(), want[kind]), f"thread {index}, call {step}"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def test_integers_through_a_graph() -> None:
    class Twice(nn.Module):
        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return ids + ids

    ids = torch.tensor([[7, -3, 0]])
    engine = convert(Twice(), ids)
    engine.graphs = True
    for add in range(3):
        found = engine((ids + add).cuda())
        assert found.dtype == torch.int64
        assert torch.equal(found.cpu(), 2 * (ids + add))


def test_on_and_off_again() -> None:
    engine, x = graphed(), data(2).cuda()
    want = engine(x)
    engine.graphs = False
    assert torch.equal(engine(x), want)
    engine.graphs = True
    assert torch.equal(engine(x), want)
    with pytest.raises(RunError, match='graphs is False, True or "borrow"'):
        engine.graphs = "always"  # type: ignore[assignment]


def test_a_shared_workspace_and_graphs() -> None:
    engine = graphed()
    engine.share_workspace = True
    xs = [data(seed, 1 + seed % 4).cuda() for seed in range(8)]
    streams = [torch.cuda.Stream() for _ in range(3)]
    torch.cuda.synchronize()
    found = []
    for step in range(30):
        with torch.cuda.stream(streams[step % 3]):
            found.append((step % 8, engine(xs[step % 8])))
    torch.cuda.synchronize()
    for kind, y in found:
        torch.testing.assert_close(y.cpu(), exact(xs[kind]), **TOLERANCE)
    assert engine.memory.workspaces == 1, engine.memory
