"""``once``: what a process makes one of, whichever of its threads asks first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache, update_wrapper
from typing import Any, Generic, TypeVar

__all__ = ["once"]

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801  a decorator
    """``functools.cache`` that holds a lock: threads that ask together get the same object."""

    def __init__(self, make: Callable[..., T]) -> None:
        self._lock = threading.RLock()
        self._made = cache(make)
        self.cache_clear = self._made.cache_clear
        update_wrapper(self, make)

    def __call__(self, *args: Any) -> T:
        with self._lock:
            return self._made(*args)
