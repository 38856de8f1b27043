"""numpy in, numpy out: copies through page-locked memory, whoever allocates it.

The steps are the same for pycuda and for torch; a ``Mover`` is what differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np

from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.cuda import is_page_locked
from trtdsl.runtime.graphs import Shape
from trtdsl.runtime.lane import Lane
from trtdsl.runtime.numbers import narrow, numpy_dtype
from trtdsl.runtime.page_locked import Bytes, Pool

__all__ = ["Buffer", "Buffers", "HostLane", "Mover"]

_LARGE = 1 << 20
"""Bytes from which on copies are worth avoiding, or sharing among threads."""
_CHUNK = 4 << 20
_COPYING_THREADS = 4

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Buffer:
    """Page-locked memory and device memory of one size. ``owners`` keeps both alive."""

    host: Bytes
    address: int
    owners: tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class _Landing:
    """Where a result is copied to; ``is_own`` when no later call writes there."""

    data: Bytes
    shape: Shape
    is_own: bool


class Mover(Protocol):
    """Page-locked memory and copies on one stream. Only ``stream`` is used outside ``current``."""

    stream: int

    def current(self) -> AbstractContextManager[None]:
        """The CUDA context of the device; the caller's is back afterwards, also after an error."""

    def allocate(self, size: int) -> Buffer:
        """Memory of ``size`` bytes on both sides."""

    def upload(self, address: int, host: Bytes) -> None:
        """Queue the copy of page-locked bytes to the device."""

    def download(self, host: Bytes, address: int) -> None:
        """Queue the copy of bytes from the device to page-locked memory."""

    def synchronize(self) -> None:
        """Wait for everything queued."""

    def keep(self, buffers: list[Buffer | None]) -> None:
        """Learn of the buffers in use, for a mover that must free them in a certain context."""


class Buffers:
    """A buffer for each input and output, made larger where it is too small."""

    def __init__(self, mover: Mover, count: int) -> None:
        self._mover = mover
        self._buffers: list[Buffer | None] = [None] * count
        mover.keep(self._buffers)

    def of(self, index: int, size: int) -> Buffer:
        """The buffer of a tensor of ``size`` bytes."""
        if (buffer := self._buffers[index]) is None or buffer.host.nbytes < size:
            buffer = self._buffers[index] = None  # freed first: large tensors may not fit twice
            # TensorRT wants an address for an empty tensor too.
            buffer = self._buffers[index] = self._mover.allocate(max(size, 1))
        return buffer


class HostLane:
    """Runs an engine from numpy arrays to numpy arrays on a stream of its own, one call at a time.

    Page-locked inputs are copied from where they are, others through staging memory; large results
    are handed out in the page-locked memory of ``pool``, others in memory of their own.
    """

    def __init__(self, contexts: Contexts, mover: Mover, pool: Pool, *, graphs: bool) -> None:
        manifest = contexts.manifest
        self._inputs, self._outputs = manifest.inputs, manifest.outputs
        self._dtypes = [
            (numpy_dtype(spec.engine_dtype, spec.name), numpy_dtype(spec.dtype, spec.name))
            for spec in self._outputs
        ]
        self._mover = mover
        self._pool = pool
        self._graphs = graphs
        n = len(self._inputs)
        self._buffers = Buffers(mover, n + len(self._outputs))
        self._lane = Lane(contexts, mover.stream, partial(_memory, self._buffers, n))

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Outputs of checked, contiguous inputs. Errors: RunError from TensorRT or the driver."""
        arrays = [narrow(a, s) for a, s in zip(arrays, self._inputs, strict=True)]
        with self._mover.current():
            shapes = [a.shape for a in arrays]
            if self._graphs:
                self._lane.capture(shapes)
            else:
                self._lane.set_shapes(shapes)
            try:
                results = self._queue(arrays)
            finally:
                # Also after an error: a copy still under way would read or write reused memory.
                self._mover.synchronize()
            return [_result(*each) for each in zip(self._dtypes, results, strict=True)]

    def _queue(self, arrays: Sequence[Array]) -> list[_Landing]:
        """Copy, run, copy; where the results are, once the stream is through."""
        lane, captured = self._lane, self._lane.captured
        staged = [self._buffers.of(i, array.nbytes) for i, array in enumerate(arrays)]
        known = {
            i: self._buffers.of(len(arrays) + i, self._nbytes(i, shape))
            for i, shape in enumerate(lane.output_shapes)
            if shape is not None
        }
        inputs = [m.address for m in (staged if captured is None else captured.inputs)]
        outputs = [m.address for m in (known.values() if captured is None else captured.outputs)]
        for each in zip(arrays, staged, inputs, strict=True):
            self._upload(*each)
        if captured is None:
            lane.run(inputs, outputs)
        else:
            captured.launch()
        addresses = dict(zip(known, outputs, strict=True))
        landings = []
        for i, shape in enumerate(lane.output_shapes):
            if shape is None:
                known[i], shape = lane.open[i].take()
                addresses[i] = known[i].address
            landings.append(self._land(i, shape, known[i], addresses[i]))
        return landings

    def _land(self, index: int, shape: Shape, buffer: Buffer, address: int) -> _Landing:
        """Queue the copy of an output to where it shall lie."""
        size = self._nbytes(index, shape)
        own = self._pool.take(size) if size >= _LARGE else None
        data = buffer.host[:size] if own is None else own
        if size:
            self._mover.download(data, address)
        return _Landing(data=data, shape=shape, is_own=own is not None)

    def _nbytes(self, index: int, shape: Shape) -> int:
        return self._outputs[index].engine_dtype.itemsize * math.prod(shape)

    def _upload(self, array: Array, buffer: Buffer, address: int) -> None:
        data = array.reshape(-1).view(np.uint8)
        if data.size >= _LARGE and is_page_locked(array.ctypes.data):
            self._mover.upload(address, data)
        elif data.size >= 2 * _CHUNK:
            self._upload_in_chunks(data, buffer, address)
        elif data.size:
            np.copyto(buffer.host[: data.size], data)
            self._mover.upload(address, buffer.host[: data.size])

    def _upload_in_chunks(self, data: Bytes, buffer: Buffer, address: int) -> None:
        """Copy in threads (numpy lets go of the GIL), each chunk uploaded while others follow."""
        starts = range(0, data.size, _CHUNK)
        parts = [slice(start, min(start + _CHUNK, data.size)) for start in starts]
        copies = [_copiers().submit(np.copyto, buffer.host[p], data[p]) for p in parts]
        try:
            for part, copy in zip(parts, copies, strict=True):
                copy.result()
                self._mover.upload(address + part.start, buffer.host[part])
        finally:
            wait(copies)


def _memory(buffers: Buffers, first: int, index: int, size: int) -> tuple[int, Buffer]:
    """Memory for an output whose size has just become known."""
    buffer = buffers.of(first + index, size)
    return buffer.address, buffer


def _result(dtypes: tuple[Any, Any], landing: _Landing) -> Array:
    of_engine, wanted = dtypes
    found: Array = landing.data.view(of_engine).reshape(landing.shape)
    return found.astype(wanted, copy=not landing.is_own)


@cache
def _copiers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_COPYING_THREADS, thread_name_prefix="trtdsl-copy")
