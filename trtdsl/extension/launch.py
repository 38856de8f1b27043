"""``Launch``: one start of a CUDA kernel, planned once for given shapes and then only repeated."""

from __future__ import annotations

import ctypes
import operator
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from trtdsl.errors import BuildError, RunError, explain
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.extension.tensor_map import EncodedMap, TensorMap
from trtdsl.runtime.driver import call, check, library

__all__ = [
    "Launch",
    "Planned",
    "architecture",
    "compiled",
    "current_context",
    "launches_of",
    "multiprocessors",
    "scalar",
]


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Start ``kernel``, an ``extern "C" __global__`` function, on a grid of blocks of threads.

    ``args`` in the kernel's order: a Buffer is passed as its pointer, an int as ``int``, a float as
    ``float``, a bool as ``bool``, None as a null pointer, and a value of numpy as its own type
    (``np.int64(n)`` as ``long long``), and a TensorMap as itself. ``shared`` is dynamic shared
    memory in bytes.
    Source: cuLaunchKernel.
    """

    kernel: str
    grid: int | tuple[int, ...]
    block: int | tuple[int, ...]
    args: tuple[Any, ...]
    shared: int = 0


_CAPABILITY = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and MINOR."""
_HOPPER = "90"
_LIMITS: dict[int, int] = {}
"""The bytes of shared memory that kernels have been allowed, by the ids of ``_function``'s."""
_LIMITS_LOCK = threading.Lock()


class Planned:
    """A launch with its function found and its arguments laid out, for buffers to come.

    ``run`` costs a few microseconds: it writes the pointers and calls the driver.
    """

    def __init__(self, launch: Launch, cubin: bytes, buffers: Sequence[Buffer]) -> None:
        """``buffers`` are inputs, outputs and workspace, the objects that ``launch.args`` has."""
        places = {id(buffer): i for i, buffer in enumerate(buffers)}
        values: list[Any] = []
        self._pointers: list[tuple[Any, int]] = []
        self._maps: list[tuple[EncodedMap, int]] = []
        for arg in launch.args:
            if isinstance(arg, Buffer):
                values.append(ctypes.c_void_p())
                self._pointers.append((values[-1], _place(launch, arg, places)))
            elif isinstance(arg, TensorMap):
                values.append(EncodedMap(arg))
                self._maps.append((values[-1], _place(launch, arg.buffer, places)))
            else:
                values.append(scalar(launch.kernel, arg))
        self._values = values
        self._parameters = (ctypes.c_void_p * max(len(values), 1))(
            *(v.address if isinstance(v, EncodedMap) else ctypes.addressof(v) for v in values)
        )
        function = _function(current_context(), cubin, launch.kernel)
        _allow_shared(function, launch.shared)
        sizes = (*_three(launch, "grid"), *_three(launch, "block"), launch.shared)
        self._empty = 0 in sizes[:6]
        self._head = (function, *map(ctypes.c_uint, sizes))
        self._driver = library()
        self._launch = self._driver.cuLaunchKernel

    def run(self, pointers: Sequence[int], stream: int) -> None:
        """Queue the kernel. Errors: RunError from the driver."""
        if self._empty:  # the driver takes no grid of nothing
            return
        for value, place in self._pointers:
            value.value = pointers[place]
        for map, place in self._maps:
            map.point_to(pointers[place])
        status = self._launch(*self._head, ctypes.c_void_p(stream), self._parameters, None)
        if status:
            check(self._driver, "cuLaunchKernel", status)


def _place(launch: Launch, buffer: Buffer, places: Mapping[int, int]) -> int:
    if id(buffer) not in places:
        raise BuildError(f"kernel {launch.kernel} is given a buffer that is none of its tensors")
    return places[id(buffer)]


def launches_of(plugin: Any, launched: Any) -> tuple[Launch, ...]:
    """What ``launch`` of a plugin gave, as a tuple. Errors: RunError where it is no Launch."""
    given = launched if isinstance(launched, list | tuple) else (launched,)
    if not all(isinstance(x, Launch) for x in given):
        name = type(plugin).__name__
        raise RunError(f"launch() of plugin {name} gave {launched!r}, not Launches")
    return tuple(given)


def scalar(kernel: str, value: Any) -> Any:
    """An argument of a kernel that is no Buffer, as ctypes has it.

    Errors: BuildError for one that does not fit, or of another type.
    """
    import numpy as np

    if value is None:
        return ctypes.c_void_p()
    if isinstance(value, np.generic):
        kind: Any = np.ctypeslib.as_ctypes_type(value.dtype)  # type: ignore[arg-type]
        return kind(value.item())
    if isinstance(value, bool):
        return ctypes.c_bool(value)
    if isinstance(value, int):
        if not -(2**31) <= value < 2**31:
            raise BuildError(
                explain(
                    f"argument {value} of kernel {kernel} does not fit an int",
                    fix=f"pass np.int64({value}), and take it as long long",
                )
            )
        return ctypes.c_int(value)
    if isinstance(value, float):
        return ctypes.c_float(value)
    raise BuildError(
        f"argument {value!r} of kernel {kernel} is a {type(value).__name__}; kernels take Buffers, "
        "ints, floats, bools, None and numpy's scalars"
    )


def _three(launch: Launch, what: str) -> tuple[int, int, int]:
    """A grid or block as the driver takes it. Errors: BuildError for other than 1 to 3 counts."""
    size = getattr(launch, what)
    given = tuple(size) if isinstance(size, tuple | list) else (size,)
    try:
        sizes = [*map(operator.index, given)]
    except TypeError:  # such as a fraction, whose rest would be left out
        sizes = []
    if not 1 <= len(sizes) <= 3 or min(sizes) < 0:
        raise BuildError(
            explain(
                f"the {what} of kernel {launch.kernel} is {size!r}, not 1 to 3 whole numbers",
                fix="round up, as in grid=-(-x.volume // 256)",
            )
        )
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def architecture() -> str:
    """The compute capability of the current context's device, as ``"90"``."""
    major, minor = (_of_device(attribute) for attribute in _CAPABILITY)
    return f"{major}{minor}"


def multiprocessors() -> int:
    """How many the current context's device has."""
    return _of_device(16)  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT


def _of_device(attribute: int) -> int:
    device = ctypes.c_int()
    call("cuCtxGetDevice", ctypes.byref(device))
    return _attribute(device, attribute)


def _attribute(device: ctypes.c_int, attribute: int) -> int:
    value = ctypes.c_int()
    call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
    return value.value


def compiled(source: str, defines: tuple[tuple[str, str], ...]) -> bytes:
    """The CUBIN of a source for the current context's device, with all that is that one's alone."""
    own = architecture()
    return compile_cuda(source, f"{own}a" if own == _HOPPER else own, defines)


def current_context() -> int:
    """The handle of the CUDA context that is current in this thread."""
    context = ctypes.c_void_p()
    call("cuCtxGetCurrent", ctypes.byref(context))
    return int(context.value or 0)


@cache
def _function(context: int, cubin: bytes, name: str) -> ctypes.c_void_p:
    """A kernel of a module, loaded once a context and kept."""
    function = ctypes.c_void_p()
    module = _module(context, cubin)
    call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
    return function


def _allow_shared(function: ctypes.c_void_p, size: int) -> None:
    """Let a kernel have so many bytes of dynamic shared memory: the most that any launch wants.

    The limit is the function's, which launches of other sizes share.
    """
    attribute = 8  # CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    with _LIMITS_LOCK:
        if size > _LIMITS.get(id(function), 48 << 10):
            call("cuFuncSetAttribute", function, attribute, size)
            _LIMITS[id(function)] = size


@cache
def _module(context: int, cubin: bytes) -> ctypes.c_void_p:
    module = ctypes.c_void_p()
    call("cuModuleLoadData", ctypes.byref(module), cubin)
    return module
