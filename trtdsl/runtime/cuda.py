"""Streams, events, memory and captured graphs of one device, each freed when nothing holds it.

All of it lies in the device's primary context, and none of it needs torch or pycuda: pycuda has no
graphs, and torch's want their own allocator.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import c_uint64 as u64
from typing import Any

from trtdsl.errors import TrtdslError
from trtdsl.runtime.device import primary_context
from trtdsl.runtime.driver import call, check, library

__all__ = [
    "DeviceMemory",
    "Event",
    "Graph",
    "PageLocked",
    "Stream",
    "context_of",
    "copier",
    "is_idle",
    "is_page_locked",
    "synchronize",
]

_CONTEXT = ctypes.c_int(1)  # CU_POINTER_ATTRIBUTE_CONTEXT
_DISABLE_TIMING = ctypes.c_uint(2)  # CU_EVENT_DISABLE_TIMING
_HOST = 1  # CU_MEMORYTYPE_HOST
_LEGACY = 0  # the handle of the legacy default stream
_MEMORY_TYPE = ctypes.c_int(2)  # CU_POINTER_ATTRIBUTE_MEMORY_TYPE
_NON_BLOCKING = ctypes.c_uint(1)  # CU_STREAM_NON_BLOCKING
_PORTABLE = ctypes.c_uint(1)  # CU_MEMHOSTALLOC_PORTABLE: page-locked for every device
_RELAXED = ctypes.c_uint(2)  # CU_STREAM_CAPTURE_MODE_RELAXED: memory may be freed meanwhile


class _Handle:
    """Something the driver made; ``destroy`` names the function that takes it back."""

    def __init__(self, device: int, handle: int, destroy: str) -> None:
        self.device = device
        self.handle = handle
        weakref.finalize(self, _destroy, device, destroy, handle).atexit = False


class DeviceMemory(_Handle):
    """``size`` bytes of device memory at ``address``. Freeing it waits for the device.

    ``torch.as_tensor`` and ``cupy.asarray`` make an array of bytes of it, which keeps it.
    """

    def __init__(self, device: int, size: int) -> None:
        """Errors: RunError when there is not so much memory."""
        address = u64()
        with primary_context(device):
            call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(max(size, 1)))
        self.address = address.value
        self.size = size
        super().__init__(device, address.value, "cuMemFree_v2")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        data = (self.address, False)
        return {"shape": (self.size,), "typestr": "|u1", "data": data, "version": 3}

    def clear(self, stream: int) -> None:
        """Queue the writing of zeros."""
        if self.size:
            with primary_context(self.device):
                zero, stop = ctypes.c_ubyte(0), ctypes.c_size_t(self.size)
                where = u64(self.address)
                call("cuMemsetD8Async", where, zero, stop, ctypes.c_void_p(stream))


class PageLocked(_Handle):
    """``size`` bytes of host memory that the GPU reads and writes by itself.

    ``numpy.asarray`` makes an array of bytes of it, which keeps it.
    """

    def __init__(self, device: int, size: int) -> None:
        """Errors: RunError when the system has not so much memory to lock."""
        address = ctypes.c_void_p()
        with primary_context(device):
            call("cuMemHostAlloc", ctypes.byref(address), ctypes.c_size_t(max(size, 1)), _PORTABLE)
        self.size = size
        super().__init__(device, int(address.value or 0), "cuMemFreeHost")

    @property
    def __array_interface__(self) -> dict[str, Any]:
        data = (self.handle, False)
        return {"shape": (self.size,), "typestr": "|u1", "data": data, "version": 3}


class Stream(_Handle):
    """A stream that runs apart from all others, the legacy default stream included."""

    def __init__(self, device: int) -> None:
        stream = ctypes.c_void_p()
        with primary_context(device):
            call("cuStreamCreate", ctypes.byref(stream), _NON_BLOCKING)
        super().__init__(device, int(stream.value or 0), "cuStreamDestroy_v2")


class Event(_Handle):
    """A point in a stream that other streams, or the host, can wait for."""

    def __init__(self, device: int) -> None:
        event = ctypes.c_void_p()
        with primary_context(device):
            call("cuEventCreate", ctypes.byref(event), _DISABLE_TIMING)
        super().__init__(device, int(event.value or 0), "cuEventDestroy_v2")

    def record(self, stream: int) -> None:
        """Mark the end of what the stream holds by now; the device's context must be current."""
        call("cuEventRecord", ctypes.c_void_p(self.handle), ctypes.c_void_p(stream))

    def hold(self, stream: int) -> None:
        """Let what the stream is given from now on wait for the event; the host does not wait."""
        event, late = ctypes.c_void_p(self.handle), ctypes.c_void_p(stream)
        call("cuStreamWaitEvent", late, event, ctypes.c_uint(0))

    def synchronize(self) -> None:
        """Wait until the event has come to pass."""
        with primary_context(self.device):
            call("cuEventSynchronize", ctypes.c_void_p(self.handle))


class Graph(_Handle):
    """What ``queue`` queues on a stream, captured once, and queued again by ``launch``.

    ``queue`` is given the stream to queue on, one of the graph's own: while a stream of torch's is
    captured, whatever another thread does with the legacy default stream would break the capture.
    Errors: RunError when something in it cannot be captured; nothing has run then.
    """

    def __init__(self, device: int, queue: Callable[[int], None]) -> None:
        with primary_context(device):
            graph = _capture(device, queue)
            executable = ctypes.c_void_p()
            try:
                call(
                    "cuGraphInstantiateWithFlags",
                    ctypes.byref(executable),
                    graph,
                    ctypes.c_ulonglong(0),
                )
            finally:
                call("cuGraphDestroy", graph)
        super().__init__(device, int(executable.value or 0), "cuGraphExecDestroy")
        self._driver = library()
        self._executable = executable

    def launch(self, stream: int) -> None:
        """Queue it on a stream; 0 is the legacy default stream. Errors: RunError."""
        self.launcher(stream)()

    def launcher(self, stream: int) -> Callable[[], None]:
        """``launch(stream)``, to be called often."""
        driver, executable, handle = self._driver, self._executable, ctypes.c_void_p(stream)
        queue = driver.cuGraphLaunch

        def launch() -> None:
            status = queue(executable, handle)
            if status:
                check(driver, "cuGraphLaunch", status)

        return launch


def is_idle(stream: int) -> bool:
    """Whether nothing is left that work queued on the stream now would wait for.

    A stream made without CU_STREAM_NON_BLOCKING waits for the legacy default stream too. Not idle
    while any of them is being captured.
    """
    flags = ctypes.c_uint()
    if library().cuStreamGetFlags(ctypes.c_void_p(stream), ctypes.byref(flags)):
        return False
    alone = flags.value & _NON_BLOCKING.value
    return _has_ended(stream) and (bool(alone) or _has_ended(_LEGACY))


def _has_ended(stream: int) -> bool:
    driver, handle, capturing = library(), ctypes.c_void_p(stream), ctypes.c_uint()
    if driver.cuStreamIsCapturing(handle, ctypes.byref(capturing)) or capturing.value:
        return False
    return bool(driver.cuStreamQuery(handle) == 0)


def is_page_locked(address: int) -> bool:
    """Whether the driver has locked the host memory at this address."""
    kind = ctypes.c_uint()
    status = library().cuPointerGetAttribute(ctypes.byref(kind), _MEMORY_TYPE, u64(address))
    return bool(status == 0 and kind.value == _HOST)


def context_of(address: int) -> int | None:
    """The context that an address on a device belongs to; None where the driver names none."""
    context = ctypes.c_void_p()
    status = library().cuPointerGetAttribute(ctypes.byref(context), _CONTEXT, u64(address))
    return context.value if status == 0 else None


def copier() -> Callable[[int, int, int, int], None]:
    """``copy(to, from, size, stream)``: queue a copy of ``size`` bytes within the device."""
    driver = library()
    queue = driver.cuMemcpyDtoDAsync_v2
    size_t, pointer = ctypes.c_size_t, ctypes.c_void_p

    def copy(destination: int, source: int, size: int, stream: int) -> None:
        if size:
            status = queue(u64(destination), u64(source), size_t(size), pointer(stream))
            check(driver, "cuMemcpyDtoDAsync_v2", status)

    return copy


def synchronize(device: int, stream: int) -> None:
    """Wait for a stream."""
    with primary_context(device):
        call("cuStreamSynchronize", ctypes.c_void_p(stream))


def _capture(device: int, queue: Callable[[int], None]) -> ctypes.c_void_p:
    stream = Stream(device)
    handle, graph = ctypes.c_void_p(stream.handle), ctypes.c_void_p()
    call("cuStreamBeginCapture_v2", handle, _RELAXED)
    try:
        queue(stream.handle)
    except BaseException:
        # The capture must end, and its own complaint would hide the reason.
        library().cuStreamEndCapture(handle, ctypes.byref(graph))
        if graph.value:
            call("cuGraphDestroy", graph)
        raise
    call("cuStreamEndCapture", handle, ctypes.byref(graph))
    return graph


def _destroy(device: int, function: str, handle: int) -> None:
    """Nothing that goes wrong here is anybody's to handle: a forked or ending process frees all."""
    kind = u64 if function == "cuMemFree_v2" else ctypes.c_void_p
    try:
        with primary_context(device):
            call(function, kind(handle))
    except TrtdslError:
        pass
