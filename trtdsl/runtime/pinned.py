"""Page-locked copies through torch, where pycuda is not installed."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from trtdsl.errors import UnavailableError, explain
from trtdsl.runtime.device import primary_context
from trtdsl.runtime.driver import call
from trtdsl.runtime.page_locked import Bytes
from trtdsl.runtime.staging import Buffer

__all__ = ["PinnedMover"]


class PinnedMover:
    """A stream and page-locked memory from torch."""

    def __init__(self, device: int) -> None:
        """Errors: UnavailableError where torch is missing or made without CUDA."""
        try:
            import torch
        except ImportError as error:
            raise _unavailable(f"torch cannot be imported: {error}") from error
        with primary_context(device):
            if not torch.cuda.is_available():
                raise _unavailable(f"torch {torch.__version__} sees no GPU")
            self._stream: Any = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._torch = torch
        self._device = device
        self.stream = int(self._stream.cuda_stream)

    @contextmanager
    def current(self) -> Iterator[None]:
        with primary_context(self._device), self._torch.cuda.stream(self._stream):
            yield

    def keep(self, buffers: list[Buffer | None]) -> None:
        """Nothing to do: torch frees its memory in any context."""

    def allocate(self, size: int) -> Buffer:
        torch = self._torch
        host = torch.empty(size, dtype=torch.uint8, pin_memory=True)
        device = torch.empty(size, dtype=torch.uint8, device=f"cuda:{self._device}")
        return Buffer(host=host.numpy(), address=device.data_ptr(), owners=(host, device))

    def upload(self, address: int, host: Bytes) -> None:
        size, stream = ctypes.c_size_t(host.size), ctypes.c_void_p(self.stream)
        source = ctypes.c_void_p(host.ctypes.data)
        call("cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), source, size, stream)

    def download(self, host: Bytes, address: int) -> None:
        size, stream = ctypes.c_size_t(host.size), ctypes.c_void_p(self.stream)
        target = ctypes.c_void_p(host.ctypes.data)
        call("cuMemcpyDtoHAsync_v2", target, ctypes.c_uint64(address), size, stream)

    def synchronize(self) -> None:
        self._stream.synchronize()


def _unavailable(why: str) -> UnavailableError:
    return UnavailableError(
        explain(
            f"numpy arrays need page-locked memory, and {why}",
            fix="install pycuda, or a torch with CUDA",
        )
    )
