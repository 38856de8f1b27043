"""The types of tensors: ``DType``, ``Dim`` (an int or a symbolic expression) and ``TensorType``."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from itertools import product, starmap
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
        """Whether it is float32, float16 or bfloat16."""
        return self in (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)

    @property
    def is_integer(self) -> bool:
        """Whether it is int64, int32, int8 or uint8; bool is none."""
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
        """The ``torch.dtype`` of the same name."""
        import torch

        dtype: TorchDType = getattr(torch, self.value)
        return dtype

    @classmethod
    def of(cls, dtype: TorchDType | DType | str) -> DType:
        """The DType of a ``torch.dtype``; ValueError for what TensorRT lacks (float64)."""
        if isinstance(dtype, cls):
            return dtype
        try:
            return cls(str(dtype).removeprefix("torch."))
        except ValueError:
            has = ", ".join(d.value for d in cls)
            raise ValueError(f"TensorRT has no dtype {dtype}; it has {has}") from None


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
    """The least and greatest value of an expression over the ranges of its sizes, or beyond.

    What is made without rounding has its extremes at the corners. What is rounded is tried at all
    sizes; where these are too many, a quotient is taken to be rounded by up to 1.
    """
    value = as_dim(value)
    names = tuple(sorted(symbols([value])))
    return _bounds(value, names, tuple((ranges[name].min, ranges[name].max) for name in names))


@cache
def _bounds(
    value: Dim, names: tuple[str, ...], ends: tuple[tuple[int, int], ...]
) -> tuple[int, int]:
    rounds = not isinstance(value, int) and any(type(e).__name__ in _ROUNDED for e in _parts(value))
    if rounds and math.prod(high - low + 1 for low, high in ends) > _MOST_SIZES:
        value, parts = _unrounded(value)
        names, ends = (*names, *parts), (*ends, *[(0, 1)] * len(parts))
        rounds = False
    tried = [range(low, high + 1) for low, high in ends] if rounds else ends
    values = list(starmap(_function(value, names), product(*tried)))
    return math.floor(min(values)), math.ceil(max(values))


_ROUNDED = ("floor", "ceiling", "Mod")
_MOST_SIZES = 2048


def _parts(value: Dim) -> Iterator[Any]:
    import sympy

    parts: Iterator[Any] = sympy.preorder_traversal(value)
    return parts


def _unrounded(value: Any) -> tuple[Any, list[str]]:
    """An expression with the rounding in it as numbers of 0 to 1, and their names."""
    import sympy

    names: list[str] = []

    def rest() -> Any:
        names.append(f"_rest{len(names)}")
        return sympy.Symbol(names[-1])

    value = value.replace(sympy.floor, lambda x: x - rest())
    value = value.replace(sympy.ceiling, lambda x: x + rest())
    return value.replace(sympy.Mod, lambda _, y: y * rest()), names


def _function(value: Any, names: Sequence[str]) -> Callable[..., Any]:
    """An expression as a function of the sizes of these names; it need not be whole."""
    import sympy

    if isinstance(value, int):
        return lambda *_: value
    own = {s.name: s for s in value.free_symbols}
    taken = [own.get(name, sympy.Symbol(name)) for name in names]
    rounded = {"floor": math.floor, "ceiling": math.ceil, "Mod": operator.mod}
    rounded["RoundToInt"] = round  # PyTorch's, which is Python's
    function: Callable[..., Any] = sympy.lambdify(taken, value, modules=[rounded, "math"])
    return function


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
