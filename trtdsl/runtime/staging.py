"""numpy in, numpy out: copies through page-locked buffers, whoever allocates them.

The steps are the same for pycuda and for torch; a ``Mover`` is what differs.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from trtdsl.errors import RunError, explain
from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.runtime.lane import Lane
from trtdsl.types import DType

__all__ = ["Buffer", "HostRunner", "Mover", "check_int32", "narrow", "numpy_dtype"]


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
            self._lane = Lane(engine, manifest, mover.stream)

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Outputs of checked, contiguous inputs. Errors: RunError from TensorRT or the driver."""
        arrays = [narrow(a, s) for a, s in zip(arrays, self._specs, strict=False)]
        with self._lock, self._mover.current():
            self._lane.set_shapes([a.shape for a in arrays])
            shapes = [*(a.shape for a in arrays), *self._lane.output_shapes]
            views = [self._stage(i, shape) for i, shape in enumerate(shapes)]
            try:
                self._queue(arrays, views)
            finally:
                # Also after an error: a copy still under way would read or write reused memory.
                self._mover.synchronize()
            outputs = zip(views[self._num_inputs :], self._dtypes[self._num_inputs :], strict=True)
            return [view.astype(dtype, copy=True) for view, dtype in outputs]

    def _queue(
        self, arrays: Sequence[np.ndarray[Any, Any]], views: Sequence[np.ndarray[Any, Any]]
    ) -> None:
        buffers = [buffer for buffer in self._buffers if buffer is not None]
        n = self._num_inputs
        for array, view, buffer in zip(arrays, views, buffers, strict=False):
            np.copyto(view, array, casting="no")
            self._mover.upload(buffer, view.nbytes)
        addresses = [buffer.address for buffer in buffers]
        self._lane.run(addresses[:n], addresses[n:])
        for view, buffer in zip(views[n:], buffers[n:], strict=True):
            self._mover.download(buffer, view.nbytes)

    def _stage(self, index: int, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
        """The page-locked memory of a tensor as an array, made larger where it is too small."""
        dtype = self._engine_dtypes[index]
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        buffer = self._buffers[index]
        if buffer is None or buffer.host.nbytes < size:
            self._buffers[index] = None  # freed first: large tensors may not fit twice
            # TensorRT wants an address for an empty tensor too.
            buffer = self._buffers[index] = self._mover.allocate(max(size, 1))
        return buffer.host[:size].view(dtype).reshape(shape)


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
