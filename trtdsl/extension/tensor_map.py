"""``TensorMap``: what Hopper's copy engine is told of a tensor, as an argument of a kernel."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import BuildError, RunError, explain
from trtdsl.extension.buffer import Buffer
from trtdsl.runtime.driver import check, library
from trtdsl.types import DType

__all__ = ["EncodedMap", "TensorMap"]

_SIZE, _ALIGNMENT = 128, 64
_CODES = {DType.FLOAT16: 6, DType.FLOAT32: 7, DType.BFLOAT16: 9}
_SWIZZLES = {0: 0, 32: 1, 64: 2, 128: 3}
_CACHED_BY_128_BYTES = 2


@dataclass(frozen=True, kw_only=True)
class TensorMap:
    """A tensor whose boxes a kernel has copied to shared memory, by ``cp.async.bulk.tensor``.

    The kernel takes it as a ``const __grid_constant__`` struct of 128 bytes, aligned to 64. Axes
    are in the hardware's order, the one whose elements lie next to each other first: ``sizes`` and
    ``box`` in elements, and ``strides`` of all axes but that one in bytes, multiples of 16. What a
    box has beyond the sizes is 0. ``swizzle`` is the bytes of a row within which pieces of 16 are
    exchanged, so that columns lie in different banks: 0, 32, 64 or 128.

    Errors: BuildError for a dtype that is none of the floats, or another swizzle.
    Source: cuTensorMapEncodeTiled.
    """

    buffer: Buffer
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int = 128

    def __post_init__(self) -> None:
        if self.buffer.dtype not in _CODES or self.swizzle not in _SWIZZLES:
            kinds = ", ".join(dtype.value for dtype in _CODES)
            what = f"a tensor map of {self.buffer.dtype.value} swizzled by {self.swizzle}"
            raise BuildError(explain(what, fix=f"use {kinds}, and 0, 32, 64 or 128 bytes"))


class EncodedMap:
    """A map as the driver encodes it, for one pointer after another."""

    def __init__(self, map: TensorMap) -> None:
        self._memory = (ctypes.c_ubyte * (_SIZE + _ALIGNMENT))()
        start = ctypes.addressof(self._memory)
        self.address = start + -start % _ALIGNMENT
        self._pointer = 0
        rank = len(map.sizes)
        self._head = ctypes.c_void_p(self.address), _CODES[map.buffer.dtype], ctypes.c_uint(rank)
        self._rest = (
            *(_numbers(ctypes.c_uint64, x) for x in (map.sizes, map.strides)),
            *(_numbers(ctypes.c_uint32, x) for x in (map.box, (1,) * rank)),
            *(0, _SWIZZLES[map.swizzle], _CACHED_BY_128_BYTES, 0),
        )

    def point_to(self, pointer: int) -> None:
        """Encode it for a tensor there, unless it is already.

        Errors: RunError from the driver, or where it is older than CUDA 12.0.
        """
        if pointer == self._pointer:
            return
        driver = library()
        encode: Any = getattr(driver, "cuTensorMapEncodeTiled", None)
        if encode is None:
            what = "tensor maps need a driver of CUDA 12.0 or later, and this one has none"
            raise RunError(explain(what, fix="install a driver of release 525 or later"))
        status = encode(*self._head, ctypes.c_void_p(pointer), *self._rest)
        check(driver, "cuTensorMapEncodeTiled", status)
        self._pointer = pointer


def _numbers(kind: Any, values: Sequence[int]) -> Any:
    return (kind * len(values))(*values)
