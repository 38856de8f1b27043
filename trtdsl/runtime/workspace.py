"""A workspace: the device memory that a run needs beside its inputs, outputs and weights."""

from __future__ import annotations

import threading
from collections.abc import Callable

from trtdsl.runtime.cuda import DeviceMemory, Event

__all__ = ["Workspace"]


class Workspace:
    """Memory that several contexts use, one run after the other on whatever streams.

    A run on another stream than the last waits, on the GPU, for the end of the last.
    """

    def __init__(self, device: int, size: int) -> None:
        """Allocate ``size`` bytes. Errors: RunError when there is not so much memory."""
        self.memory = DeviceMemory(device, size)
        self._event = Event(device)
        self._lock = threading.Lock()
        self._last: int | None = None

    def queue(self, stream: int, run: Callable[[int], None]) -> None:
        """Queue ``run(stream)`` behind the last user. Errors: what ``run`` raises, and RunError."""
        with self._lock:
            if self._last not in (None, stream):
                self._event.hold(stream)
            try:
                run(stream)
            finally:
                self._event.record(stream)  # also of a run that was queued in part
                self._last = stream
