"""``pycuda_stream``: TensorRT's stream, for pycuda, which launches on streams of its own only."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trtdsl.runtime.cuda import Event
from trtdsl.runtime.driver import call
from trtdsl.runtime.pycuda_side import PycudaMover

__all__ = ["pycuda_stream"]

_here = threading.local()
"""A thread's lanes, by device."""


class _Lane:
    """A stream of pycuda's and the events that put it in order with another stream."""

    def __init__(self, device: int) -> None:
        self.mover = PycudaMover(device)
        self.before, self.after = Event(device), Event(device)


@contextmanager
def pycuda_stream(stream: int) -> Iterator[Any]:
    """A ``pycuda.driver.Stream`` in place of a ``cudaStream_t``, for ``Plugin.run``.

    What is queued on it inside comes after all that ``stream`` holds, and before all that
    ``stream`` is given later; the host waits for neither, and a CUDA graph captures it. Modules
    are loaded and functions found inside too, where the context of the engine is current.
    Errors: UnavailableError without pycuda; RunError from the driver.
    Source: cuEventRecord and cuStreamWaitEvent.
    """
    lane = _lane()
    own = lane.mover.stream
    lane.before.record(stream)
    lane.before.hold(own)
    with lane.mover.current():
        try:
            yield lane.mover.pycuda_stream
        finally:
            lane.after.record(own)
            lane.after.hold(stream)


def _lane() -> _Lane:
    device = ctypes.c_int()
    call("cuCtxGetDevice", ctypes.byref(device))
    lanes: dict[int, _Lane] = _here.__dict__.setdefault("lanes", {})
    if device.value not in lanes:
        lanes[device.value] = _Lane(device.value)
    return lanes[device.value]
