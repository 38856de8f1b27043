"""Converters that write to places along one axis: scatter and the ``index_*`` functions."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.slice import section
from trtdsl.network import Scalar, Tensor
from trtdsl.operators import maximum, where
from trtdsl.registry import converter
from trtdsl.types import DType, as_dim

from .creation import filled, iota
from .indexing import wrapped
from .places import REDUCTIONS, Places, require_table
from .scan import along

__all__ = ["elements"]

aten = torch.ops.aten
Write = Callable[[Places, Tensor, Tensor], Tensor]
_OLD_NAMES = {"add": "sum", "multiply": "prod"}


@converter(aten.scatter.src)
def scatter(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with ``x[index[i, j], j] = src[i, j]`` for axis 0."""
    return elements(x, dim, index, src, Places.write)


@converter(aten.scatter.value)
def scatter_value(x: Tensor, dim: int, index: Tensor, value: Scalar) -> Tensor:
    """x with ``x[index[i, j], j] = value`` for axis 0."""
    return scatter(x, dim, index, filled(x.network, index.shape, value, x.dtype))


@converter(aten.scatter.reduce)
def scatter_old(x: Tensor, dim: int, index: Tensor, src: Tensor, *, reduce: str) -> Tensor:
    """x with the sources of each place added to it, or multiplied with it."""
    return scatter_reduce(x, dim, index, src, _OLD_NAMES.get(reduce, reduce))


@converter(aten.scatter.value_reduce)
def scatter_value_old(x: Tensor, dim: int, index: Tensor, value: Scalar, *, reduce: str) -> Tensor:
    """x with the value added to each place, or multiplied with it, as often as it is named."""
    src = filled(x.network, index.shape, value, x.dtype)
    return scatter_old(x, dim, index, src, reduce=reduce)


@converter(aten.scatter_add.default)
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """x with ``x[index[i, j], j] += src[i, j]`` for axis 0."""
    return scatter_reduce(x, dim, index, src, "sum")


@converter(aten.scatter_reduce.two)
def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """x with the sum, prod, mean, amax or amin of the sources of each place, x's own included."""
    return elements(x, dim, index, src, _reducing(reduce, include_self))


@converter(aten.index_add.default)
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: Scalar = 1) -> Tensor:
    """x with ``alpha`` times the slices of the source added to its slices at ``index``."""
    source = source if alpha == 1 else (source * alpha).cast(x.dtype)
    return index_reduce(x, dim, index, source, "sum")


@converter(aten.index_reduce.default)
def index_reduce(
    x: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """x with the sum, prod, mean, amax or amin of the slices of each place, x's own included."""
    write = _reducing(reduce, include_self)
    if x.rank == 0:
        return index_reduce(
            x.reshape(1), 0, index, source.reshape(1), reduce, include_self=include_self
        ).reshape()
    if 0 in source.shape:
        return x
    axis, index = dim % x.rank, index.reshape(-1)
    source = source.reshape(*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    return write(Places(index=index, axis=axis, element=False), x, source)


@converter(aten.index_copy.default)
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """x with its slices at ``index`` replaced by those of the source, the last one of a place."""
    if x.rank == 0:
        return index_copy(x.reshape(1), 0, index, source.reshape(1)).reshape()
    if 0 in source.shape:
        return x
    axis, index = dim % x.rank, index.reshape(-1)
    source = source.reshape(*x.shape[:axis], index.shape[0], *x.shape[axis + 1 :])
    numbers = iota(x.network, index.shape[0]).cast(DType.INT32).reshape(1, -1)
    last = Reduce(op=ReduceOperation.MAX, axes=(1,))(where(_hits(x, axis, index), numbers, -1))
    if x.network.bounds(index.shape[0])[0] == 0:  # something has to be read, if only to be dropped
        row = filled(x.network, (*x.shape[:axis], 1, *x.shape[axis + 1 :]), 0, x.dtype)
        source = Concatenation(axis=axis)(source, row)
    copied = Gather(axis=axis)(source, maximum(last, 0))
    return where(along(last, axis, x.rank) < 0, x, copied)


@converter(aten.index_fill.int_Scalar, aten.index_fill.int_Tensor)
def index_fill(x: Tensor, dim: int, index: Tensor, value: Tensor | Scalar) -> Tensor:
    """x with its slices at ``index`` filled with one value."""
    if x.rank == 0:
        return index_fill(x.reshape(1), 0, index, value).reshape()
    if 0 in index.shape or 0 in x.shape:
        return x
    axis = dim % x.rank
    hits = _hits(x, axis, wrapped(index.reshape(-1), x.shape[axis]))
    hit = Reduce(op=ReduceOperation.MAX, axes=(1,))(hits.cast(DType.INT32)) > 0
    return where(along(hit, axis, x.rank), value, x, x.dtype)


def _hits(x: Tensor, axis: int, index: Tensor) -> Tensor:
    """Whether an index, along axis 1, names a place of x, along axis 0."""
    size, count = x.shape[axis], index.shape[0]
    require_table(x.network, size * count, f"{count} indices into axis {axis} of {x}")
    return iota(x.network, size).reshape(size, 1).equal(index.reshape(1, count))


def elements(x: Tensor, dim: int, index: Tensor, src: Tensor, write: Write) -> Tensor:
    """What scatter does with ranks and with sizes that are smaller than x's."""
    if 0 in index.shape:
        return x
    if x.rank == 0 or index.rank == 0 or src.rank == 0:
        whole, index, src = (v if v.rank else v.reshape(1) for v in (x, index, src))
        return elements(whole, dim, index, src, write).reshape(*x.shape)
    axis = dim % x.rank
    for other, size in enumerate(index.shape):
        src = section(src, other, 0, size)
    return _inside(x, axis, index, src, write)


def _inside(x: Tensor, axis: int, index: Tensor, src: Tensor, write: Write) -> Tensor:
    """PyTorch writes to the first part of a longer axis; TensorRT wants equal sizes."""
    for other, size in enumerate(index.shape):
        if other != axis and x.shape[other] != size:
            inner = _inside(section(x, other, 0, size), axis, index, src, write)
            rest = section(x, other, size, as_dim(x.shape[other] - size))
            return Concatenation(axis=other)(inner, rest)
    return write(Places(index=index, axis=axis, element=True), x, src.cast(x.dtype))


def _reducing(reduce: str, include_self: bool) -> Write:
    if reduce not in REDUCTIONS:
        raise ConversionError(
            explain(f"there is no reduction {reduce!r}", fix=f"one of {', '.join(REDUCTIONS)}")
        )
    return lambda places, x, updates: places.reduce(x, updates, reduce, include_self=include_self)
