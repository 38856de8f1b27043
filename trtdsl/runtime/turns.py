"""Threads that queue runs on one device take turns at it.

Each kernel of a run takes a lock of the driver's. Threads that queue runs at the same time hand it
on from kernel to kernel, and all of them together queue less than one alone.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

__all__ = ["in_turn"]

_PATIENCE = 2e-3
"""Seconds. A run that waits for values of the GPU while it is queued does not hold up others."""

_locks: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)


def in_turn(device: int, queue: Callable[[int], Any]) -> Callable[[int], Any]:
    """``queue`` as a function for which the threads that use the device wait, for a while."""
    lock = _locks[device]

    def queue_in_turn(stream: int) -> Any:
        held = lock.acquire(timeout=_PATIENCE)
        try:
            return queue(stream)
        finally:
            if held:
                lock.release()

    return queue_in_turn
