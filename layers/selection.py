"""Where the extremes are: argmax, max and min along an axis."""

from __future__ import annotations

import torch

from trtdsl.ir.reduce import ReduceOperation
from trtdsl.ir.topk import TopK, TopKOperation
from trtdsl.network import Tensor
from trtdsl.operators import where
from trtdsl.registry import converter
from trtdsl.types import DType

from .creation import filled, iota
from .reduction import reduced

__all__ = ["first_of"]

aten = torch.ops.aten


@converter(aten.argmax.default)
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest element is along an axis, or in all of x; int64."""
    return _argument(TopKOperation.MAX, x, dim, keepdim)


@converter(aten.argmin.default)
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest element is along an axis, or in all of x; int64."""
    return _argument(TopKOperation.MIN, x, dim, keepdim)


@converter(aten.max.dim)
def max_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The largest element along an axis, and where it is."""
    return _extreme(TopKOperation.MAX, x, dim, keepdim)


@converter(aten.min.dim)
def min_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest element along an axis, and where it is."""
    return _extreme(TopKOperation.MIN, x, dim, keepdim)


def _argument(op: TopKOperation, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    if dim is not None:
        return _extreme(op, x, dim, keepdim)[1]
    index = _extreme(op, x.reshape(-1), 0, False)[1]
    return index.reshape(*[1] * x.rank) if keepdim else index


def _extreme(op: TopKOperation, x: Tensor, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    axis = dim % x.rank
    values, indices = first_of(op, x, 1, axis) if x.dtype.is_float else _counted(op, x, axis)
    if not keepdim:
        shape = [d for a, d in enumerate(x.shape) if a != axis]
        values, indices = values.reshape(*shape), indices.reshape(*shape)
    return values, indices


def first_of(op: TopKOperation, x: Tensor, k: int, axis: int) -> tuple[Tensor, Tensor]:
    """The first k along an axis; a vector goes through TensorRT's layer as a matrix of one row."""
    if x.rank > 1:
        values, indices = TopK(op=op, k=k, axis=axis).outputs(x)
    else:
        values, indices = TopK(op=op, k=k, axis=1).outputs(x.reshape(1, -1))
        shape = (k,) * x.rank
        values, indices = values.reshape(*shape), indices.reshape(*shape)
    return values, indices.cast(DType.INT64)


def _counted(op: TopKOperation, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The extreme of integers, which TopK does not take, and the first place where it stands."""
    number = x if x.dtype.itemsize > 1 else x.cast(DType.INT32)
    extreme = reduced(ReduceOperation[op.name], number, axis, True)
    count = x.shape[axis]
    places = iota(x.network, count).reshape(*(count if a == axis else 1 for a in range(x.rank)))
    first = where(number.equal(extreme), places, count, DType.INT64)
    return extreme.cast(x.dtype), reduced(ReduceOperation.MIN, first, axis, True)
