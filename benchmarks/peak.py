"""The largest resident memory of this process over a stretch of its life."""

from __future__ import annotations

import ctypes
import gc
import os
import threading
import time
from pathlib import Path

__all__ = ["Peak"]

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL = 0.002


class Peak:
    """Bytes above what was resident when this was made, after a garbage collection.

    The kernel keeps the mark, reset through ``/proc/self/clear_refs``. Where it cannot be reset, a
    thread reads the size every 2 ms (``how`` says so) and may miss what lives shorter.
    """

    def __init__(self) -> None:
        gc.collect()
        _return_free_memory()
        self.how = "kernel" if _reset() else "sampled"
        self.before = _resident()
        self._most = self.before
        self._done = threading.Event()
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        if self.how == "sampled":
            self._sampler.start()

    def extra(self) -> int:
        """The largest so far, less ``before``."""
        most = _field("VmHWM") if self.how == "kernel" else max(self._most, _resident())
        return most - self.before

    def stop(self) -> None:
        """End the sampling."""
        self._done.set()

    def _sample(self) -> None:
        while not self._done.is_set():
            self._most = max(self._most, _resident())
            time.sleep(_INTERVAL)


def _reset() -> bool:
    """Set the kernel's mark to the present size; whether it took that."""
    try:
        _CLEAR.write_text("5")
        return _field("VmHWM") - _field("VmRSS") < 2**20
    except (OSError, ValueError):
        return False


def _field(name: str) -> int:
    """A size from ``/proc/self/status``, in bytes. Errors: ValueError where it is not told."""
    for line in _STATUS.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise ValueError(f"{_STATUS} tells no {name}")


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _return_free_memory() -> None:
    """Hand back what the allocator holds unused, which would otherwise hide a part of the peak."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's own
    if trim is not None:
        trim(0)
