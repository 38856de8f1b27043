"""Page-locked arrays: for callers to fill, and for results to be handed out without a copy."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from trtdsl.runtime.cuda import PageLocked

__all__ = ["Pool", "page_locked"]

_GRAIN = 1 << 20
_LIMIT = 1 << 30

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


def page_locked(
    shape: Sequence[int], dtype: np.dtype[Any] | str, device: int = 0
) -> np.ndarray[Any, Any]:
    """A page-locked array, contents undefined; every GPU copies from it and to it at full speed.

    Errors: RunError when the system has not so much memory to lock.
    """
    kind = np.dtype(dtype)
    memory = PageLocked(device, kind.itemsize * math.prod(shape))
    return np.asarray(memory).view(kind).reshape(tuple(shape))


class Pool:
    """Page-locked memory that results are handed out in, and that comes back when they go.

    At most ``limit`` bytes are locked at a time, those of results that a caller keeps included.
    """

    def __init__(self, device: int, limit: int = _LIMIT) -> None:
        self._device = device
        self._limit = limit
        self._locked = 0
        self._free: list[PageLocked] = []
        self._returned: deque[PageLocked] = deque()
        self._lock = threading.Lock()

    def take(self, size: int) -> Bytes | None:
        """An array of ``size`` bytes, or None where the limit leaves no room for it."""
        whole = -(-size // _GRAIN) * _GRAIN
        with self._lock:
            while self._returned:
                self._free.append(self._returned.popleft())
            memory = next((each for each in self._free if each.size == whole), None)
            if memory is None:
                memory = self._lock_more(whole)
            else:
                self._free.remove(memory)
        return None if memory is None else np.asarray(_Lease(memory, self._returned))[:size]

    def _lock_more(self, size: int) -> PageLocked | None:
        while self._free and self._locked + size > self._limit:
            self._locked -= self._free.pop(0).size
        if self._locked + size > self._limit:
            return None
        memory = PageLocked(self._device, size)
        self._locked += size
        return memory


class _Lease:
    """What an array of borrowed memory and all of its views hold on to."""

    def __init__(self, memory: PageLocked, returned: deque[PageLocked]) -> None:
        self._memory = memory
        self._returned = returned
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._returned.append(self._memory)  # without a lock: this may run in the midst of take
