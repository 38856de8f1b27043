"""The types of tensors: ``DType``, ``Dim`` (an int or a symbolic expression) and ``TensorType``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from torch import dtype as TorchDType

__all__ = [
    "DType",
    "Dim",
    "DimRange",
    "Shape",
    "TensorType",
    "as_dim",
    "bind",
    "bounds",
    "broadcast",
    "is_static",
    "symbols",
]


class DType(Enum):
    """An element type; ``value`` is the name that numpy and PyTorch use."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"
    INT64 = "int64"
    INT32 = "int32"
    INT8 = "int8"
    UINT8 = "uint8"
    BOOL = "bool"

    @property
    def is_float(self) -> bool:
        return self in (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)

    @property
    def is_integer(self) -> bool:
        return self in (DType.INT64, DType.INT32, DType.INT8, DType.UINT8)

    @property
    def itemsize(self) -> int:
        """Bytes an element takes."""
        return _ITEMSIZE[self]

    @property
    def short(self) -> str:
        """The abbreviation used in printed networks: ``f32``, ``i64``, ``bool``."""
        return _SHORT[self]

    @property
    def torch(self) -> TorchDType:
        import torch

        dtype: TorchDType = getattr(torch, self.value)
        return dtype

    @classmethod
    def of(cls, dtype: TorchDType | str) -> DType:
        """The DType of a ``torch.dtype``; ValueError for what TensorRT lacks (float64)."""
        return cls(str(dtype).removeprefix("torch."))


_SHORT = {
    DType.FLOAT32: "f32",
    DType.FLOAT16: "f16",
    DType.BFLOAT16: "bf16",
    DType.INT64: "i64",
    DType.INT32: "i32",
    DType.INT8: "i8",
    DType.UINT8: "u8",
    DType.BOOL: "bool",
}
_ITEMSIZE = {
    DType.FLOAT32: 4,
    DType.FLOAT16: 2,
    DType.BFLOAT16: 2,
    DType.INT64: 8,
    DType.INT32: 4,
    DType.INT8: 1,
    DType.UINT8: 1,
    DType.BOOL: 1,
}

Dim: TypeAlias = Any
"""An ``int``, or a ``sympy.Expr`` over named positive integer symbols; both take ``+ - * // %``."""

Shape: TypeAlias = tuple[Dim, ...]


def as_dim(value: Dim) -> Dim:
    """Bring a dimension to its one form: an ``int`` where it is one, else the expression."""
    if isinstance(value, int) or not getattr(value, "is_Integer", False):
        return value
    return int(value)


def is_static(values: Iterable[Dim]) -> bool:
    """True when every dimension is an int."""
    return all(isinstance(v, int) for v in values)


def symbols(values: Iterable[Dim]) -> set[str]:
    """The names of the symbols that the dimensions mention."""
    return {s.name for v in values if not isinstance(v, int) for s in v.free_symbols}


def bind(value: Dim, sizes: Mapping[str, int]) -> int:
    """The int that a dimension has once its symbols have these sizes."""
    if isinstance(value, int):
        return value
    return int(value.subs({s: sizes[s.name] for s in value.free_symbols}))


def bounds(value: Dim, ranges: Mapping[str, DimRange]) -> tuple[int, int]:
    """The least and greatest value of an expression over the ranges of its sizes.

    Sizes are sums and quotients of others, so the extremes lie at the corners.
    """
    value = as_dim(value)
    names = sorted(symbols([value]))
    ends = [(ranges[name].min, ranges[name].max) for name in names]
    values = [bind(value, dict(zip(names, corner, strict=True))) for corner in product(*ends)]
    return min(values), max(values)


def broadcast(*shapes: Shape) -> Shape:
    """The common shape of shapes of one rank; ValueError where two sizes differ and none is 1.

    A symbolic size beside another size that is not 1 is taken to be equal to it; TensorRT checks
    that again at run time.
    """

    def one(sizes: tuple[Dim, ...]) -> Dim:
        wide = [s for s in sizes if s != 1]
        static = {s for s in wide if isinstance(s, int)}
        if len(static) > 1:
            raise ValueError(f"sizes {sizes} do not broadcast")
        return static.pop() if static else (wide[0] if wide else 1)

    return tuple(one(sizes) for sizes in zip(*shapes, strict=True))


@dataclass(frozen=True, kw_only=True)
class DimRange:
    """The sizes of a symbolic dimension, ``min <= opt <= max``; ``opt`` is what is tuned for."""

    min: int
    opt: int
    max: int

    def __str__(self) -> str:
        return f"{self.min}..{self.opt}..{self.max}"


@dataclass(frozen=True)
class TensorType:
    """The dtype and shape of a tensor; each size is an int or a symbolic expression."""

    dtype: DType
    shape: Shape

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(as_dim(d) for d in self.shape))

    def __str__(self) -> str:
        return f"{self.dtype.short}[{', '.join(map(str, self.shape))}]"

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def is_static(self) -> bool:
        return is_static(self.shape)

    @property
    def volume(self) -> Dim:
        """The number of elements."""
        return math.prod(self.shape)

    def with_shape(self, shape: Sequence[Dim]) -> TensorType:
        return TensorType(self.dtype, tuple(shape))

    def with_dtype(self, dtype: DType) -> TensorType:
        return TensorType(dtype, self.shape)
