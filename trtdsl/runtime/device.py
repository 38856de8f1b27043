"""The NVIDIA driver, asked directly: which GPU is here, and which context is current.

``tensorrt.Runtime`` ends the process on a machine without a GPU, so the GPU is looked for before
TensorRT is touched, and without torch or pycuda, which may not be installed.
Source: the CUDA driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache

from trtdsl.errors import RunError, TrtdslError, UnavailableError, explain
from trtdsl.runtime.driver import call, check, library
from trtdsl.runtime.once import once

__all__ = [
    "Gpu",
    "blocking_stream",
    "current_context",
    "find_gpu",
    "index_of",
    "let_go",
    "primary_context",
    "primary_handle",
    "require_gpu",
    "restoring_context",
    "settle",
    "why_no_gpu",
]

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A CUDA device. ``memory`` in bytes; ``cuda`` is the newest CUDA that its driver serves."""

    index: int
    name: str
    compute_capability: str
    cuda: str
    memory: int

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.compute_capability})"


def index_of(device: object) -> int:
    """The index of a device given as ``1``, ``"cuda:1"``, ``"cuda"`` (0) or a ``torch.device``.

    Errors: RunError for anything else; whether there is such a GPU is not looked at.
    """
    if type(device) is int and device >= 0:
        return device
    kind, colon, index = str(device).partition(":")
    if kind != "cuda" or (colon and not index.isdecimal()) or type(device) is int:
        raise RunError(explain(f"{device!r} is no GPU", fix='give 0, "cuda" or "cuda:0"'))
    return int(index or 0)


def find_gpu(index: int = 0) -> Gpu | None:
    """The GPU of this index, or None where there is no driver or no such device."""
    found = _probe(index)
    return found if isinstance(found, Gpu) else None


def why_no_gpu(index: int = 0) -> str | None:
    """The driver's reason why there is no GPU of this index; None where there is one."""
    found = _probe(index)
    return found if isinstance(found, str) else None


def require_gpu(index: int = 0) -> Gpu:
    """The GPU of this index. Errors: UnavailableError says why there is none."""
    found = _probe(index)
    if isinstance(found, str):
        raise UnavailableError(
            explain(
                f"no NVIDIA GPU {index} here: {found}",
                fix="run this on a machine with an NVIDIA GPU and driver, "
                'or convert with backend="reference"',
            )
        )
    return found


@contextmanager
def primary_context(index: int) -> Iterator[None]:
    """Make the device's primary context current in this thread, the one torch and TensorRT use.

    Whatever context the thread had is current again afterwards. Errors: RunError from the driver.
    """
    with restoring_context():
        call("cuCtxPushCurrent_v2", ctypes.c_void_p(primary_handle(index)))
        try:
            yield
        finally:
            call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


def current_context() -> int | None:
    """The handle of the context that is current in this thread; None where there is none."""
    context, driver = ctypes.c_void_p(), library()
    status = driver.cuCtxGetCurrent(ctypes.byref(context))  # without ``call``: in every run
    if status:
        check(driver, "cuCtxGetCurrent", status)
    return context.value


def settle(index: int) -> None:
    """Make the primary context current in a thread that has none, as any use of torch would."""
    if current_context() is None:
        call("cuCtxSetCurrent", ctypes.c_void_p(primary_handle(index)))


@contextmanager
def restoring_context() -> Iterator[None]:
    """Leave the thread with the context that it came with.

    torch replaces the top of the driver's stack of contexts, and pycuda keeps a stack of its own
    which it takes for the driver's, so a push and a pop alone can leave the caller with another.
    """
    before, after = ctypes.c_void_p(), ctypes.c_void_p()
    call("cuCtxGetCurrent", ctypes.byref(before))
    try:
        yield
    finally:
        call("cuCtxGetCurrent", ctypes.byref(after))
        if before.value != after.value:
            call("cuCtxSetCurrent", before)


def let_go(index: int, owner: object, *names: str) -> None:
    """Forget attributes that hold objects of TensorRT, for ``__del__``; in the device's context.

    TensorRT frees an engine or a context on its device, and was seen to leave that the thread's
    current one. Nothing that goes wrong here is anybody's to handle: an ending process frees all.
    """
    with suppress(TrtdslError), primary_context(index):
        for name in names:
            owner.__dict__.pop(name, None)


@once
def blocking_stream(index: int) -> int:
    """The handle of a stream that runs in order with the legacy default stream; one a device.

    TensorRT synchronizes the whole device in ``enqueueV3`` on the default stream. A stream made
    without CU_STREAM_NON_BLOCKING waits for what was queued on the default stream before it, and
    what is queued there later waits for it, by the driver and without an event:
    https://docs.nvidia.com/cuda/cuda-driver-api/stream-sync-behavior.html
    """
    stream = ctypes.c_void_p()
    with primary_context(index):
        call("cuStreamCreate", ctypes.byref(stream), ctypes.c_uint(0))
    return int(stream.value or 0)


@cache
def primary_handle(index: int) -> int:
    """The handle of the primary context, retained for the life of the process.

    Released between calls, it would end with everything that TensorRT has allocated in it.
    """
    context = ctypes.c_void_p()
    device = _device(index)
    call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
    return int(context.value or 0)


def _probe(index: int) -> Gpu | str:
    try:
        count = ctypes.c_int()
        call("cuDeviceGetCount", ctypes.byref(count))
        if not 0 <= index < count.value:
            return f"the driver shows {count.value} device{'s' * (count.value != 1)}"
        return _describe(index)
    except (RunError, UnavailableError) as error:
        return str(error)


def _describe(index: int) -> Gpu:
    device = _device(index)
    name = ctypes.create_string_buffer(256)
    major, minor, version = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    memory = ctypes.c_size_t()
    call("cuDeviceGetName", name, ctypes.c_int(len(name)), device)
    call("cuDeviceGetAttribute", ctypes.byref(major), ctypes.c_int(_MAJOR), device)
    call("cuDeviceGetAttribute", ctypes.byref(minor), ctypes.c_int(_MINOR), device)
    call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
    call("cuDriverGetVersion", ctypes.byref(version))
    return Gpu(
        index=index,
        name=name.value.decode(errors="replace"),
        compute_capability=f"{major.value}.{minor.value}",
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        memory=memory.value,
    )


def _device(index: int) -> ctypes.c_int:
    device = ctypes.c_int()
    call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(index))
    return device
