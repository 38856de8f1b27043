"""``Buffer``: device memory that TensorRT hands to a plugin."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.types import DType

if TYPE_CHECKING:
    import torch

__all__ = ["Buffer"]

_CODES = {
    DType.FLOAT32: "<f4",
    DType.FLOAT16: "<f2",
    DType.INT64: "<i8",
    DType.INT32: "<i4",
    DType.INT8: "|i1",
    DType.UINT8: "|u1",
    DType.BOOL: "|b1",
}


@dataclass(slots=True)
class Buffer:
    """A tensor in GPU memory, contiguous: what a kernel reads or writes.

    ``pointer`` is its device address, 0 while a launch is being planned. It belongs to TensorRT and
    is valid for this one call only. CuPy, numba and PyTorch take a Buffer as an array
    (``__cuda_array_interface__``).
    """

    pointer: int
    shape: tuple[int, ...]
    dtype: DType

    @property
    def volume(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        if self.dtype not in _CODES:
            raise AttributeError(f"the array interface has no {self.dtype.value}; use torch()")
        return {
            "shape": self.shape,
            "typestr": _CODES[self.dtype],
            "data": (self.pointer, False),
            "strides": None,
            "version": 3,
        }

    def torch(self) -> torch.Tensor:
        """The same memory as a CUDA tensor of PyTorch."""
        import torch

        if self.dtype in _CODES:
            return torch.as_tensor(self, device="cuda")
        words = Buffer(self.pointer, self.shape, DType.FLOAT16)
        return torch.as_tensor(words, device="cuda").view(self.dtype.torch)
