"""``pycuda_stream``: TensorRT's stream, for pycuda, which launches on streams of its own only."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trtdsl.errors import UnavailableError, explain
from trtdsl.runtime.cuda import Event
from trtdsl.runtime.device import restoring_context
from trtdsl.runtime.driver import call

__all__ = ["pycuda_stream"]

_here = threading.local()
"""A thread's lanes, by device."""


class _Lane:
    """A stream of pycuda's and the events that put it in order with another stream."""

    def __init__(self, device: int) -> None:
        driver = _import_driver()
        driver.init()
        self._context = driver.Device(device).retain_primary_context()
        with self.current():
            self.stream = driver.Stream()
        self.before, self.after = Event(device), Event(device)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Inside, pycuda knows the device's primary context, in which TensorRT runs."""
        with restoring_context():
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()


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
    handle = int(lane.stream.handle)
    lane.before.record(stream)
    lane.before.hold(handle)
    with lane.current():
        try:
            yield lane.stream
        finally:
            lane.after.record(handle)
            lane.after.hold(stream)


def _lane() -> _Lane:
    device = ctypes.c_int()
    call("cuCtxGetDevice", ctypes.byref(device))
    lanes: dict[int, _Lane] = _here.__dict__.setdefault("lanes", {})
    if device.value not in lanes:
        lanes[device.value] = _Lane(device.value)
    return lanes[device.value]


def _import_driver() -> Any:
    try:
        import pycuda.driver
    except ImportError as error:
        raise UnavailableError(
            explain(
                f"a plugin runs by pycuda, which cannot be imported: {error}",
                fix="pip install pycuda, or write the kernel as CUDA C++ of the plugin class",
            )
        ) from error
    return pycuda.driver
