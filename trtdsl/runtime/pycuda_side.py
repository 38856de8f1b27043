"""Page-locked copies through pycuda, on the device's primary context. torch is not needed."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from trtdsl.errors import UnavailableError, explain
from trtdsl.runtime.device import restoring_context
from trtdsl.runtime.page_locked import Bytes
from trtdsl.runtime.staging import Buffer

__all__ = ["PycudaMover"]


class PycudaMover:
    """A stream and page-locked memory from pycuda.

    pycuda frees an allocation only while the context it was made in is current, so all of them are
    freed together, in that context, when the mover goes.
    """

    def __init__(self, device: int) -> None:
        """Errors: UnavailableError where pycuda cannot be imported."""
        self._cuda = cuda = _import_driver()
        cuda.init()
        self._context = cuda.Device(device).retain_primary_context()
        with self.current():
            held = [cuda.Stream()]
        self.stream = int(held[0].handle)
        self._held: list[Any] = held  # the only references, so that _free frees
        weakref.finalize(self, _free, self._context, held)

    @property
    def pycuda_stream(self) -> Any:
        """The ``pycuda.driver.Stream`` whose handle is ``stream``."""
        return self._held[0]

    @contextmanager
    def current(self) -> Iterator[None]:
        with restoring_context():
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()

    def keep(self, buffers: list[Buffer | None]) -> None:
        self._held.append(buffers)

    def allocate(self, size: int) -> Buffer:
        host = self._cuda.pagelocked_empty(size, np.uint8)
        device = self._cuda.mem_alloc(size)
        return Buffer(host=host, address=int(device), owners=(device,))

    def upload(self, address: int, host: Bytes) -> None:
        self._cuda.memcpy_htod_async(address, host, self.pycuda_stream)

    def download(self, host: Bytes, address: int) -> None:
        self._cuda.memcpy_dtoh_async(host, address, self.pycuda_stream)

    def synchronize(self) -> None:
        self.pycuda_stream.synchronize()


def _free(context: Any, held: list[Any]) -> None:
    with restoring_context():
        context.push()
        try:
            for item in held:
                if isinstance(item, list):
                    item.clear()
            held.clear()
        finally:
            context.pop()


def _import_driver() -> Any:
    """``pycuda.driver``. Errors: UnavailableError where it cannot be imported."""
    try:
        import pycuda.driver
    except ImportError as error:
        raise UnavailableError(
            explain(
                f"pycuda was asked for, and cannot be imported: {error}",
                fix="pip install pycuda; numpy arrays go through torch with host_copies='auto'",
            )
        ) from error
    return pycuda.driver
