"""Converters that replace parts of a tensor: slices, diagonals, masked and indexed elements."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, Shape, as_dim, broadcast

from .creation import filled
from .indexing import from_the_front, is_computed, selected_range, wrapped
from .places import Places
from .scan import positions, running_sum
from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten
_MASKS = (DType.BOOL, DType.UINT8)


@converter(aten.select_scatter.default)
def select_scatter(x: Tensor, src: Tensor, dim: int, index: Dim) -> Tensor:
    """x with its slice at ``index`` of axis ``dim`` replaced by ``src``."""
    axis = dim % x.rank
    src = Unsqueeze(axes=(axis,))(src.cast(x.dtype))
    if is_computed(x.network, index):
        place = wrapped(as_tensor(index, x.network), x.shape[axis])
        return where(positions(x, axis).equal(place), src, x)
    return _replaced(x, src, axis, from_the_front(x.network, index, x.shape[axis]), 1)


@converter(aten.slice_scatter.default)
def slice_scatter(
    x: Tensor,
    src: Tensor,
    dim: int = 0,
    start: Dim | None = None,
    end: Dim | None = None,
    step: int = 1,
) -> Tensor:
    """x with ``x[start:end:step]`` along ``dim`` replaced by ``src``."""
    axis = dim % x.rank
    first, count = selected_range(x, axis, start, end, step)
    src = src.cast(x.dtype)
    if step != 1:
        return _interleaved(x, src, axis, first, step)
    return _replaced(x, section(src, axis, 0, count), axis, first, count)


def _replaced(x: Tensor, src: Tensor, axis: int, first: Dim, count: Dim) -> Tensor:
    """x with ``count`` slices replaced from ``first`` on; so many are there."""
    after, size = first + count, x.shape[axis]
    parts = [section(x, axis, 0, first), src, section(x, axis, after, as_dim(size - after))]
    kept = [part for part in parts if part.shape[axis] != 0]
    return kept[0] if len(kept) == 1 else Concatenation(axis=axis)(*kept)


def _interleaved(x: Tensor, src: Tensor, axis: int, first: Dim, step: int) -> Tensor:
    """x with every ``step``-th slice replaced, from ``first`` on as many as there are."""
    if src.shape[axis] == 0:
        return x
    behind = positions(x, axis) - first
    number = maximum(behind // step, 0)
    count = src.shape[axis]
    replaced = ~(behind < 0) & (behind % step).equal(0) & (number < count)
    picked = Gather(axis=axis)(src, minimum(number, count - 1).reshape(x.shape[axis]))
    return where(replaced, picked, x)


@converter(aten.diagonal_scatter.default)
def diagonal_scatter(
    x: Tensor, src: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1
) -> Tensor:
    """x with the diagonal of its matrices replaced by ``src``, along whose last axis it lies."""
    if 0 in src.shape:
        return x
    rows, columns = dim1 % x.rank, dim2 % x.rank
    number = positions(x, rows).reshape(x.shape[rows]) - max(-offset, 0)
    inside = minimum(maximum(number, 0), src.shape[-1] - 1)
    picked = Gather(axis=src.rank - 1)(src.cast(x.dtype), inside)  # an element for each row
    others = [axis for axis in range(x.rank) if axis not in (rows, columns)]
    order = [*others, rows]
    picked = picked.permute(*(order.index(axis) for axis in sorted(order)))
    is_diagonal = (positions(x, columns) - positions(x, rows)).equal(offset)
    return where(is_diagonal, Unsqueeze(axes=(columns,))(picked), x)


@converter(aten.masked_scatter.default)
def masked_scatter(x: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """x with the elements of the source, one after the other, where the mask holds."""
    rank = max(x.rank, mask.rank)
    x, mask = (v.reshape(*[1] * (rank - v.rank), *v.shape) for v in (x, mask))
    shape = broadcast(x.shape, mask.shape)
    x, mask = expanded(x, shape), expanded(mask.cast(DType.BOOL), shape)
    if 0 in source.shape or 0 in shape:
        return x
    flat = source.cast(x.dtype).reshape(math.prod(source.shape))
    return where(mask, Gather(axis=0)(_never_empty(flat, 0), _numbers(mask)), x)


def _never_empty(x: Tensor, axis: int) -> Tensor:
    """x, which can be gathered from along an axis; with a 0 behind it where it may be empty."""
    if x.network.bounds(x.shape[axis])[0] > 0:
        return x
    one = [1 if a == axis else size for a, size in enumerate(x.shape)]
    return Concatenation(axis=axis)(x, filled(x.network, one, 0, x.dtype))


def _numbers(mask: Tensor) -> Tensor:
    """How many elements of a mask hold before each one, int32; at least 0."""
    flat = mask.reshape(math.prod(mask.shape)).cast(DType.INT32)
    return maximum(running_sum(flat, 0) - 1, 0).reshape(*mask.shape)


@converter(aten.take.default)
def take(x: Tensor, index: Tensor) -> Tensor:
    """The elements of x laid flat at ``index``, in its shape."""
    size = math.prod(x.shape)
    return Gather(axis=0)(x.reshape(size), wrapped(index, size))


@converter(aten.put.default)
def put(x: Tensor, index: Tensor, source: Tensor, accumulate: bool = False) -> Tensor:
    """x with its elements, laid flat, at ``index`` replaced by those of the source, or added to."""
    if 0 in index.shape:
        return x
    size, count = math.prod(x.shape), math.prod(index.shape)
    flat, source = x.reshape(size), source.cast(x.dtype).reshape(count)
    places = Places(index=wrapped(index.reshape(count), size), axis=0, element=True)
    return _placed(places, flat, source, accumulate).reshape(*x.shape)


@converter(aten.index_put.default, aten._unsafe_index_put.default)
def index_put(
    x: Tensor, indices: Sequence[Tensor | None], values: Tensor, accumulate: bool = False
) -> Tensor:
    """x with ``x[indices] = values``, or added to where ``accumulate``; a mask is one index."""
    axes = [axis for axis, i in enumerate(indices) if i is not None]
    given = [i for i in indices if i is not None]
    values = values.cast(x.dtype)
    if any(i.dtype in _MASKS for i in given):
        _require_alone(given)
        return _masked_put(x, axes[0], given[0].cast(DType.BOOL), values, accumulate)
    if any(0 in v.shape for v in (x, values, *given)):
        return x
    others = [axis for axis in range(x.rank) if axis not in axes]
    rest = [x.shape[axis] for axis in others]
    flat = wrapped(given[0], x.shape[axes[0]])
    for axis, i in zip(axes[1:], given[1:], strict=True):
        # The indexed axes as one, and one index into it.
        flat = flat * x.shape[axis] + wrapped(i, x.shape[axis])
    neighbours = axes == list(range(axes[0], axes[0] + len(axes)))
    updates = _in_front(values, flat.shape, axes[0] if neighbours else 0, rest)
    data = x.permute(*axes, *others)
    joined = data.reshape(math.prod(x.shape[axis] for axis in axes), *rest)
    count = math.prod(flat.shape)
    places = Places(index=flat.reshape(count), axis=0, element=False)
    placed = _placed(places, joined, updates.reshape(count, *rest), accumulate)
    order = [*axes, *others]
    return placed.reshape(*data.shape).permute(*(order.index(a) for a in range(x.rank)))


def _in_front(values: Tensor, index: Shape, before: int, rest: Sequence[Dim]) -> Tensor:
    """The values broadcast to ``(*rest[:before], *index, *rest[before:])``, the index in front."""
    spread = expanded(values, (*rest[:before], *index, *rest[before:]))
    n = len(index)
    return spread.permute(
        *range(before, before + n), *range(before), *range(before + n, spread.rank)
    )


def _placed(places: Places, x: Tensor, updates: Tensor, accumulate: bool) -> Tensor:
    if accumulate:
        return places.reduce(x, updates, "sum", include_self=True)
    return places.write(x, updates)


def _masked_put(x: Tensor, axis: int, mask: Tensor, values: Tensor, accumulate: bool) -> Tensor:
    """``x[..., mask, ...] = values``: one value for all, or one after the other where it holds."""
    if 0 in x.shape or 0 in values.shape:
        return x
    after = x.rank - axis - mask.rank
    own = values.rank - after - 1  # the axis of the values that runs over the mask
    if own >= 0 and values.shape[own] != 1:
        values = Gather(axis=own)(_never_empty(values, own), _numbers(mask))
    elif own >= 0:
        ones = [1] * mask.rank
        values = values.reshape(*values.shape[:own], *ones, *values.shape[own + 1 :])
    mask = mask.reshape(*mask.shape, *[1] * after)
    return where(mask, x + values if accumulate else values, x)


def _require_alone(given: Sequence[Tensor]) -> None:
    if len(given) > 1:
        raise ConversionError(
            explain(
                f"a mask beside other indices: {', '.join(map(str, given))}",
                fix="write torch.where(mask, values, x), with a mask of all indexed axes",
            )
        )
