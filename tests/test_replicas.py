"""One queue of calls for several engines, stood in for by functions."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

from trtdsl.errors import RunError
from trtdsl.replicas import Replicas


class Stub:
    """An engine that doubles numbers; with a barrier, only when others do so at the same time."""

    def __init__(self, index: int, barrier: threading.Barrier | None = None) -> None:
        self.device = f"cuda:{index}"
        self.barrier = barrier
        self.calls = 0

    def on(self, index: int) -> Stub:
        return Stub(index, self.barrier)

    def __call__(self, x: Any, *, fail: bool = False) -> Any:
        self.calls += 1
        if fail:
            raise RunError("broken on purpose")
        if self.barrier is not None:
            self.barrier.wait()
        return 2 * x

    def run_async(self, x: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(f"on {self.device}")
        return future


def replicas(engine: Stub, *devices: int) -> Replicas:
    return Replicas(engine, devices)  # type: ignore[arg-type]


def test_all_gpus_serve_one_queue() -> None:
    engine = Stub(0, threading.Barrier(4, timeout=20))  # 2 GPUs, 2 threads each
    with replicas(engine, 0, 1) as many:
        assert many.engines[0] is engine
        futures = [many.run_async(i) for i in range(40)]
        assert [future.result(20) for future in futures] == [2 * i for i in range(40)]
        assert all(each.calls > 0 for each in many.engines)  # type: ignore[attr-defined]
    assert not many.engines  # which would keep the GPUs' memory
    with pytest.raises(RunError, match="were closed"):
        many(1)


def test_an_error_belongs_to_its_call() -> None:
    with replicas(Stub(0), 0) as many:
        failing = many.run_async(1, fail=True)
        assert many(2) == 4
        with pytest.raises(RunError, match="on purpose"):
            failing.result(20)


def test_tensors_run_where_they_are() -> None:
    def tensor(index: int) -> Any:
        return SimpleNamespace(is_cuda=True, device=SimpleNamespace(index=index))

    @dataclass
    class Batch:
        x: Any

    foreign = SimpleNamespace(__dlpack_device__=lambda: (2, 1))
    with replicas(Stub(0), 0, 1) as many:
        for held in ({"x": [tensor(1)]}, Batch(x=tensor(1)), [Batch(x=foreign)]):
            assert many(held) == "on cuda:1"
        with pytest.raises(RunError, match=r"on cuda:2, and the replicas are on cuda:0, cuda:1"):
            many(tensor(2))


@pytest.mark.parametrize("devices", [(), (1, 1)])
def test_devices_are_given_once(devices: tuple[int, ...]) -> None:
    with pytest.raises(RunError, match="give each once"):
        replicas(Stub(0), *devices)


def test_dropped_replicas_end_their_threads() -> None:
    many = replicas(Stub(0), 0)
    threads = many._threads
    many(1)
    del many
    gc.collect()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_a_call_that_is_taken_while_they_close_is_answered() -> None:
    for _ in range(20):
        many = replicas(Stub(0), 0)
        taken: list[list[Future[Any]]] = [[] for _ in range(4)]
        started = threading.Barrier(5, timeout=20)

        def call(own: list[Future[Any]], many: Replicas = many, go: Any = started.wait) -> None:
            go()
            with suppress(RunError):
                while True:
                    own.append(many.run_async(1))

        callers = [threading.Thread(target=call, args=(own,)) for own in taken]
        for caller in callers:
            caller.start()
        started.wait()
        many.close()
        for caller in callers:
            caller.join(20)
        assert all(future.done() for own in taken for future in own)
