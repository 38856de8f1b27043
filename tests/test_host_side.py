"""numpy calls from threads, page-locked memory in and out, over a driver without a GPU."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from tests.engine_parts import F32, Context, HostMover, Trt
from tests.fake_cuda import FakeCuda, install
from trtdsl.errors import RunError
from trtdsl.runtime import host_side, page_locked, runners, staging
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.host_side import HostRunner


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCuda]:
    yield install(monkeypatch)
    gc.collect()


class Copying(HostMover):
    """Counts the bytes that it copies, and where from."""

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[tuple[int, int]] = []

    def upload(self, address: int, host: Any) -> None:
        self.uploads.append((host.ctypes.data, host.size))
        super().upload(address, host)


class Waiting(Trt):
    """Runs that end only once ``together`` of them are under way."""

    def __init__(self, together: int) -> None:
        super().__init__()
        self.barrier = threading.Barrier(together, timeout=20)
        self.contexts = 0

    def create_execution_context(self) -> Context:
        self.contexts += 1
        return WaitingContext(self)


class WaitingContext(Context):
    owner: Waiting

    def execute_async_v3(self, stream: int) -> bool:
        self.owner.barrier.wait()
        return super().execute_async_v3(stream)


def test_calls_at_the_same_time_have_a_context_each() -> None:
    trt = Waiting(4)
    call = HostRunner(Contexts(trt, F32, 0), HostMover)
    data = [np.full(8, i, np.float32) for i in range(40)]
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda x: call([x])[0], data))
    for x, y in zip(data, answers, strict=True):
        np.testing.assert_array_equal(x, y)
    assert trt.contexts == 4


def test_no_more_calls_than_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_side, "MAX_LANES", 2)
    trt = Waiting(2)
    call = HostRunner(Contexts(trt, F32, 0), HostMover)
    with ThreadPoolExecutor(6) as threads:
        list(threads.map(lambda i: call([np.full(2, i, np.float32)]), range(12)))
    assert trt.contexts == 2


def test_one_thread_keeps_to_one_lane() -> None:
    trt = Waiting(1)
    call = HostRunner(Contexts(trt, F32, 0), HostMover)
    for i in range(5):
        call([np.full(2, i, np.float32)])
    assert trt.contexts == 1


def test_a_failed_call_gives_its_lane_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_side, "MAX_LANES", 1)
    trt = Trt("execute_async_v3")
    call = HostRunner(Contexts(trt, F32, 0), HostMover)
    for _ in range(3):
        with pytest.raises(Exception, match="refused the run"):
            call([np.ones(2, np.float32)])
    trt.accept = ""
    np.testing.assert_array_equal(call([np.ones(2, np.float32)])[0], np.ones(2, np.float32))


@pytest.mark.parametrize("locked", [False, True])
def test_large_inputs(cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch, locked: bool) -> None:
    monkeypatch.setattr(staging, "_LARGE", 1000)
    monkeypatch.setattr(staging, "_CHUNK", 900)
    mover = Copying()
    call = HostRunner(Contexts(Trt(), F32, 0), lambda: mover)
    x = page_locked.page_locked((1000,), "float32") if locked else np.empty(1000, np.float32)
    x[:] = np.arange(1000)
    np.testing.assert_array_equal(call([x])[0], np.arange(1000, dtype=np.float32))
    sizes = [size for _, size in mover.uploads]
    assert sizes == ([4000] if locked else [900, 900, 900, 900, 400])
    assert (mover.uploads[0][0] == x.ctypes.data) is locked  # no staging copy of page-locked memory


def test_large_results_are_lent_until_the_last_view_goes(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "_LARGE", 1000)
    call = HostRunner(Contexts(Trt(), F32, 0), HostMover)
    x = np.arange(1000, dtype=np.float32)
    first = call([x])[0]
    place, tail = first.ctypes.data, first[500:]
    del first
    second = call([x + 1])[0]  # the tail still holds the first result's memory
    assert second.ctypes.data != place
    np.testing.assert_array_equal(tail, x[500:])
    del tail
    third = call([x + 2])[0]
    assert third.ctypes.data == place
    np.testing.assert_array_equal(second, x + 1)
    np.testing.assert_array_equal(third, x + 2)


def test_the_pool_keeps_to_its_limit(cuda: FakeCuda) -> None:
    grain = 1 << 20
    pool = page_locked.Pool(0, limit=2 * grain)
    first, second = pool.take(5), pool.take(grain)
    assert first is not None
    assert second is not None
    assert (first.size, second.size) == (5, grain)
    assert pool.take(1) is None
    del second
    assert pool.take(grain + 1) is None  # 1 MiB is free, and 2 are needed
    del first
    both = pool.take(grain + 1)
    assert both is not None
    assert len(cuda.alive) == 1  # the smaller ones made room


def test_memory_that_could_not_be_locked_does_not_count(
    cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(device: int, size: int) -> None:
        raise RunError("out of memory")

    pool = page_locked.Pool(0, limit=1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(page_locked, "PageLocked", refuse)
        with pytest.raises(RunError, match="out of memory"):
            pool.take(1)
    assert pool.take(1) is not None


def test_a_call_that_began_before_the_close_gets_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """``engine.graphs = True`` closes the runners that another thread is about to use."""
    waited: list[str] = []
    monkeypatch.setattr(runners, "primary_context", lambda device: nullcontext())
    monkeypatch.setattr(runners, "call", waited.append)
    monkeypatch.setattr(runners, "Contexts", lambda *_, **__: None)
    made = runners.Runners(None, None, 0, "auto")  # type: ignore[arg-type]
    assert made.submit(int, "1").result(20) == 1
    made.close()
    assert made.submit(int, "2").result(20) == 2
    made.close()
    assert waited == ["cuCtxSynchronize"] * 2


def test_page_locked_arrays(cuda: FakeCuda) -> None:
    x = page_locked.page_locked((2, 3), "float16")
    assert (x.shape, x.dtype, x.flags.c_contiguous, x.flags.writeable) == (
        (2, 3),
        np.float16,
        True,
        True,
    )
    part = x[1]
    del x
    assert len(cuda.alive) == 1  # a view keeps it
    del part
    assert not cuda.alive
