"""numpy in, numpy out: copies through page-locked buffers, whoever allocates them.

The steps are the same for pycuda and for torch; a ``Mover`` is what differs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from trtdsl.errors import RunError, explain
from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.runtime.lane import Lane
from trtdsl.types import DType

__all__ = ["Buffer", "HostRunner", "Mover", "check_int32", "narrow", "numpy_dtype"]

_Array: TypeAlias = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Page-locked memory and device memory of one size. ``owners`` keeps both alive."""

    host: np.ndarray[Any, np.dtype[np.uint8]]
    address: int
    owners: tuple[Any, ...]


class Mover(Protocol):
    """Page-locked memory and copies on one stream. Only ``stream`` is used outside ``current``."""

    stream: int

    def current(self) -> AbstractContextManager[None]:
        """The CUDA context of the device; the caller's is back afterwards, also after an error."""

    def allocate(self, size: int) -> Buffer:
        """Memory of ``size`` bytes on both sides."""

    def upload(self, buffer: Buffer, size: int) -> None:
        """Queue the copy of the first ``size`` bytes to the device."""

    def download(self, buffer: Buffer, size: int) -> None:
        """Queue the copy of the first ``size`` bytes from the device."""

    def synchronize(self) -> None:
        """Wait for everything queued."""

    def keep(self, buffers: list[Buffer | None]) -> None:
        """Learn of the buffers in use, for a mover that must free them in a certain context."""


class HostRunner:
    """Runs an engine from numpy arrays to fresh numpy arrays; calls from threads take turns."""

    def __init__(self, engine: Any, manifest: Manifest, mover: Mover) -> None:
        self._specs = (*manifest.inputs, *manifest.outputs)
        self._num_inputs = len(manifest.inputs)
        self._dtypes = [numpy_dtype(spec.dtype, spec.name) for spec in self._specs]
        self._engine_dtypes = [numpy_dtype(spec.engine_dtype, spec.name) for spec in self._specs]
        self._mover = mover
        self._buffers: list[Buffer | None] = [None] * len(self._specs)
        mover.keep(self._buffers)
        self._lock = threading.Lock()
        with mover.current():
            self._lane = Lane(engine, manifest, mover.stream, self._memory)

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Outputs of checked, contiguous inputs. Errors: RunError from TensorRT or the driver."""
        arrays = [narrow(a, s) for a, s in zip(arrays, self._specs, strict=False)]
        with self._lock, self._mover.current():
            self._lane.set_shapes([a.shape for a in arrays])
            shapes = [*(a.shape for a in arrays), *self._lane.output_shapes]
            views = [None if s is None else self._stage(i, s) for i, s in enumerate(shapes)]
            try:
                outputs = self._queue(arrays, views)
            finally:
                # Also after an error: a copy still under way would read or write reused memory.
                self._mover.synchronize()
            dtypes = self._dtypes[self._num_inputs :]
            return [y.astype(t, copy=True) for y, t in zip(outputs, dtypes, strict=True)]

    def _queue(self, arrays: Sequence[_Array], views: Sequence[_Array | None]) -> list[_Array]:
        """The outputs' page-locked memory, which holds them once the copies are done."""
        n = self._num_inputs
        for i, array in enumerate(arrays):
            view = views[i]
            assert view is not None
            np.copyto(view, array, casting="no")
            self._mover.upload(self._buffer(i), view.nbytes)
        closed = [i for i, view in enumerate(views) if view is not None]
        addresses = [self._buffer(i).address for i in closed]
        self._lane.run(addresses[:n], addresses[n:])
        outputs = []
        for i, view in enumerate(views[n:], n):
            if view is None:
                view = self._stage(i, self._lane.open[i - n].take()[1])
            self._mover.download(self._buffer(i), view.nbytes)
            outputs.append(view)
        return outputs

    def _buffer(self, index: int) -> Buffer:
        buffer = self._buffers[index]
        assert buffer is not None, "it was staged"
        return buffer

    def _memory(self, index: int, size: int) -> tuple[int, Buffer]:
        """Memory for an output whose size has just become known."""
        buffer = self._grown(self._num_inputs + index, size)
        return buffer.address, buffer

    def _stage(self, index: int, shape: tuple[int, ...]) -> _Array:
        """The page-locked memory of a tensor as an array, made larger where it is too small."""
        dtype = self._engine_dtypes[index]
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return self._grown(index, size).host[:size].view(dtype).reshape(shape)

    def _grown(self, index: int, size: int) -> Buffer:
        buffer = self._buffers[index]
        if buffer is None or buffer.host.nbytes < size:
            self._buffers[index] = None  # freed first: large tensors may not fit twice
            # TensorRT wants an address for an empty tensor too.
            buffer = self._buffers[index] = self._mover.allocate(max(size, 1))
        return buffer


def narrow(array: np.ndarray[Any, Any], spec: TensorSpec) -> np.ndarray[Any, Any]:
    """An int64 array as the int32 that the engine takes, where it does; any other unchanged.

    Errors: RunError when a value does not fit; the check reads the whole array.
    """
    if spec.dtype is spec.engine_dtype:
        return array
    if array.size:
        check_int32(spec.name, int(array.min()), int(array.max()))
    return array.astype(np.int32)


def check_int32(name: str, low: int, high: int) -> None:
    """Errors: RunError when an int64 input's values, ``low`` to ``high``, do not fit int32."""
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        raise RunError(
            explain(
                f"input {name} holds values from {low} to {high}, and this TensorRT has int32 "
                f"only: {limits.min} to {limits.max}",
                fix="give smaller values, or build the engine with TensorRT 10 or newer",
            )
        )


def numpy_dtype(dtype: DType, name: str) -> np.dtype[Any]:
    """The numpy dtype of an input or output. Errors: RunError for bfloat16 without ml_dtypes."""
    if dtype is not DType.BFLOAT16:
        standard: np.dtype[Any] = np.dtype(dtype.value)
        return standard
    try:
        import ml_dtypes
    except ImportError:
        raise RunError(
            explain(
                f"{name} is bfloat16, which numpy does not have",
                fix="pip install ml_dtypes, or call the engine with torch tensors",
            )
        ) from None
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
