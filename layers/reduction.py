"""Sums, means, products, extremes, variances and norms along axes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Tensor
from trtdsl.operators import narrowed, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, symbols

from .creation import filled

__all__ = ["axes_of", "reduced"]

aten = torch.ops.aten
Op = ReduceOperation
Axes = Sequence[int] | int | None


def axes_of(x: Tensor, dim: Axes) -> tuple[int, ...]:
    """The axes that ``dim`` names, counted from 0; all of them for None or an empty list."""
    if dim is None or (not isinstance(dim, int) and len(dim) == 0):
        return tuple(range(x.rank))
    dims = (dim,) if isinstance(dim, int) else dim
    return tuple(sorted(d % x.rank for d in dims)) if x.rank else ()


def _names_none(dim: Axes) -> bool:
    """An empty list of axes, which is all of them but to ``any`` and ``all``."""
    return dim is not None and not isinstance(dim, int) and len(dim) == 0


def reduced(op: ReduceOperation, x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """``op`` over the axes; x itself where it has none."""
    axes = axes_of(x, dim)
    return Reduce(op=op, axes=axes, keep_dimensions=keepdim)(x) if axes else x


@converter(aten.sum.default)
def sum_(x: Tensor, *, dtype: DType | None = None) -> Tensor:
    """The sum of all elements; integers and bool as int64."""
    return _accumulated(Op.SUM, x, None, False, dtype)


@converter(aten.sum.dim_IntList)
def sum_dim(x: Tensor, dim: Axes, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The sum along axes; integers and bool as int64."""
    return _accumulated(Op.SUM, x, dim, keepdim, dtype)


@converter(aten.prod.default)
def prod(x: Tensor, *, dtype: DType | None = None) -> Tensor:
    """The product of all elements; integers and bool as int64."""
    return _accumulated(Op.PROD, x, None, False, dtype)


@converter(aten.prod.dim_int)
def prod_dim(x: Tensor, dim: int, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The product along an axis; integers and bool as int64."""
    return _accumulated(Op.PROD, x, dim, keepdim, dtype)


@converter(aten.mean.default)
def mean(x: Tensor, *, dtype: DType | None = None) -> Tensor:
    """The mean of all elements."""
    return reduced(Op.AVG, x if dtype is None else x.cast(dtype))


@converter(aten.mean.dim)
def mean_dim(x: Tensor, dim: Axes, keepdim: bool = False, *, dtype: DType | None = None) -> Tensor:
    """The mean along axes."""
    return reduced(Op.AVG, x if dtype is None else x.cast(dtype), dim, keepdim)


@converter(aten.amax.default)
def amax(x: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The largest element along axes."""
    return _extreme(Op.MAX, x, dim, keepdim)


@converter(aten.amin.default)
def amin(x: Tensor, dim: Axes = (), keepdim: bool = False) -> Tensor:
    """The smallest element along axes."""
    return _extreme(Op.MIN, x, dim, keepdim)


@converter(aten.max.default)
def max_(x: Tensor) -> Tensor:
    """The largest element."""
    return _extreme(Op.MAX, x)


@converter(aten.min.default)
def min_(x: Tensor) -> Tensor:
    """The smallest element."""
    return _extreme(Op.MIN, x)


@converter(aten.aminmax.default)
def aminmax(x: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest element along an axis, or of all."""
    return _extreme(Op.MIN, x, dim, keepdim), _extreme(Op.MAX, x, dim, keepdim)


@converter(aten.any.default, aten._is_any_true.default)
def any_(x: Tensor) -> Tensor:
    """Whether an element is other than 0."""
    return _extreme(Op.MAX, x.cast(DType.BOOL)).cast(_truth(x))


@converter(aten.any.dim)
def any_dim(x: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    """Whether an element along an axis is other than 0."""
    return any_dims(x, dim, keepdim)


@converter(aten.any.dims)
def any_dims(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether an element along axes is other than 0; of no axes, for each element by itself."""
    if _names_none(dim):
        return x.cast(DType.BOOL).cast(_truth(x))
    return _extreme(Op.MAX, x.cast(DType.BOOL), dim, keepdim).cast(_truth(x))


@converter(aten.all.default, aten._is_all_true.default)
def all_(x: Tensor) -> Tensor:
    """Whether no element is 0."""
    return _extreme(Op.MIN, x.cast(DType.BOOL)).cast(_truth(x))


@converter(aten.all.dim)
def all_dim(x: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    """Whether no element along an axis is 0."""
    return all_dims(x, dim, keepdim)


@converter(aten.all.dims)
def all_dims(x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    """Whether no element along axes is 0; of no axes, for each element by itself."""
    if _names_none(dim):
        return x.cast(DType.BOOL).cast(_truth(x))
    return _extreme(Op.MIN, x.cast(DType.BOOL), dim, keepdim).cast(_truth(x))


@converter(aten.count_nonzero.default)
def count_nonzero(x: Tensor, dim: Axes = None) -> Tensor:
    """How many elements along an axis, or of all, are other than 0; int64."""
    return count_nonzero_dims(x, dim)


@converter(aten.count_nonzero.dim_IntList)
def count_nonzero_dims(x: Tensor, dim: Axes) -> Tensor:
    """How many elements along axes are other than 0; int64."""
    return reduced(Op.SUM, x.cast(DType.BOOL).cast(DType.INT64), dim)


@converter(aten.logsumexp.default)
def logsumexp(x: Tensor, dim: Axes, keepdim: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` along axes, with the largest element taken out first, in float32."""
    if _of_none(x, dim):
        dtype = x.dtype if x.dtype.is_float else DType.FLOAT32
        return filled(x.network, _left(x, dim, keepdim), -math.inf, dtype)
    wide = x.cast(DType.FLOAT32)
    largest = reduced(Op.MAX, wide, dim, True)
    # An infinite largest element is not taken out: inf - inf would be NaN.
    largest = where(Unary(op=UnaryOperation.ISINF)(largest), 0.0, largest)
    total = reduced(Op.SUM, Unary(op=UnaryOperation.EXP)(wide - largest), dim, True)
    result = Unary(op=UnaryOperation.LOG)(total) + largest
    dtype = x.dtype if x.dtype.is_float else DType.FLOAT32
    return (result if keepdim else _without(result, axes_of(x, dim))).cast(dtype)


def _of_none(x: Tensor, dim: Axes) -> bool:
    """Whether there is no element along the axes, of which TensorRT has no largest or smallest."""
    return 0 in (x.shape[axis] for axis in axes_of(x, dim))


def _left(x: Tensor, dim: Axes, keepdim: bool) -> tuple[Dim, ...]:
    """The sizes that a reduction leaves."""
    axes = axes_of(x, dim)
    sizes = [1 if axis in axes else size for axis, size in enumerate(x.shape)]
    return tuple(s for axis, s in enumerate(sizes) if keepdim or axis not in axes)


def _without(x: Tensor, axes: tuple[int, ...]) -> Tensor:
    """x without axes of size 1."""
    return x.reshape(*(d for axis, d in enumerate(x.shape) if axis not in axes))


def _accumulated(
    op: ReduceOperation, x: Tensor, dim: Axes, keepdim: bool, dtype: DType | None
) -> Tensor:
    """A sum or product in ``dtype``; bytes wrap, and a sum of bools is whether one is true."""
    if dtype is None:
        dtype = x.dtype if x.dtype.is_float else DType.INT64
    x = x.cast(dtype)
    if dtype is DType.BOOL:
        return _extreme(Op.MAX if op is Op.SUM else Op.MIN, x, dim, keepdim)
    wide = x.cast(DType.INT32) if dtype.itemsize == 1 else x
    return narrowed(reduced(op, wide, dim, keepdim), dtype)


def _extreme(op: ReduceOperation, x: Tensor, dim: Axes = None, keepdim: bool = False) -> Tensor:
    if x.dtype is DType.BOOL and _of_none(x, dim):
        return filled(x.network, _left(x, dim, keepdim), op is Op.MIN, x.dtype)
    # TensorRT reduces floats, int32 and int64 only.
    number = x.cast(DType.INT32) if x.dtype.itemsize == 1 else x
    if x.dtype is DType.BOOL and _may_be_of_none(x, dim):
        found = number if op is Op.MAX else 1 - number  # nothing has a sum, and no extreme
        return (reduced(Op.SUM, found, dim, keepdim) > 0).equal(op is Op.MAX)
    return reduced(op, number, dim, keepdim).cast(x.dtype)


def _may_be_of_none(x: Tensor, dim: Axes) -> bool:
    """Whether a run may tell that an axis to reduce has no elements."""
    net, sizes = x.network, [x.shape[a] for a in axes_of(x, dim)]
    known = symbols(sizes) <= net.symbols.keys()
    return not known or any(net.bounds(size)[0] == 0 for size in sizes)


def _truth(x: Tensor) -> DType:
    return DType.UINT8 if x.dtype is DType.UINT8 else DType.BOOL
