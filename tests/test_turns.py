"""Threads take turns at queueing runs, and none waits for ever."""

from __future__ import annotations

import threading

import pytest

from trtdsl.runtime import turns


def test_one_thread_queues_at_a_time_on_a_device() -> None:
    lock = turns._locks[0]
    seen: list[tuple[int, bool]] = []
    queue = turns.in_turn(0, lambda stream: seen.append((stream, lock.locked())))
    elsewhere = turns.in_turn(1, lambda stream: seen.append((stream, lock.locked())))
    queue(7)
    elsewhere(8)
    assert seen == [(7, True), (8, False)]
    assert not lock.locked()


def test_what_fails_ends_its_turn() -> None:
    def refuse(stream: int) -> None:
        raise RuntimeError(f"not on {stream}")

    with pytest.raises(RuntimeError, match="not on 7"):
        turns.in_turn(0, refuse)(7)
    assert not turns._locks[0].locked()


def test_a_run_that_waits_for_the_gpu_holds_up_nobody() -> None:
    begun, end = threading.Event(), threading.Event()

    def wait(stream: int) -> None:
        begun.set()
        assert end.wait(60)

    thread = threading.Thread(target=turns.in_turn(0, wait), args=(1,))
    thread.start()
    assert begun.wait(60)
    assert turns.in_turn(0, lambda stream: stream)(2) == 2
    assert turns._locks[0].locked(), "the turn belongs to the one that waits"
    end.set()
    thread.join()
    assert not turns._locks[0].locked()
