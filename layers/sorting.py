"""Sorting along an axis, and what stands at a place of the order: topk, kthvalue, median, mode."""

from __future__ import annotations

import math

import torch

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.scatter import Scatter, ScatterMode
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.ir.topk import LARGEST_K, TopKOperation
from trtdsl.network import Operand, Tensor
from trtdsl.operators import maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .comparison import isnan
from .creation import filled, iota
from .places import require_table
from .reduction import reduced
from .scan import along, positions
from .selection import first_of
from .shape import expanded

__all__ = ["element_at", "first_nan", "in_order", "precedence"]

aten = torch.ops.aten
Op = ReduceOperation


@converter(aten.topk.default)
def topk(
    x: Tensor, k: Dim, dim: int = -1, largest: bool = True, sorted: bool = True
) -> tuple[Tensor, Tensor]:
    """The k largest or smallest elements along an axis, in order, and where they are.

    TensorRT's layer takes floats and up to 3840 of them; all else is sorted in full.
    """
    axis = dim % max(x.rank, 1)
    if not isinstance(k, int) and x.dtype.is_float and 1 <= x.network.bounds(k)[1] <= LARGEST_K:
        return _top_of_some(x, k, axis, descending=largest)
    if isinstance(k, int) and 1 <= k <= LARGEST_K and _fits_float(x):
        return _top(x, k, axis, descending=largest)
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    values, indices = in_order(x, axis, descending=largest, stable=True)
    return section(values, axis, 0, k), section(indices, axis, 0, k)


@converter(aten.sort.default)
def sort(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, NaN as the largest, and where they were."""
    return in_order(x, dim, descending=descending, stable=False)


@converter(aten.sort.stable)
def sort_stable(
    x: Tensor, *, stable: bool | None, dim: int = -1, descending: bool = False
) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order; with ``stable`` equal ones stay in theirs."""
    return in_order(x, dim, descending=descending, stable=bool(stable))


@converter(aten.argsort.default)
def argsort(x: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are along an axis."""
    return in_order(x, dim, descending=descending, stable=False)[1]


@converter(aten.argsort.stable)
def argsort_stable(x: Tensor, *, stable: bool, dim: int = -1, descending: bool = False) -> Tensor:
    """Where the elements in order are along an axis; with ``stable`` equal ones stay in theirs."""
    return in_order(x, dim, descending=descending, stable=stable)[1]


@converter(aten.msort.default)
def msort(x: Tensor) -> Tensor:
    """The elements along the first axis in order."""
    return in_order(x, 0, descending=False, stable=False)[0]


@converter(aten.kthvalue.default)
def kthvalue(x: Tensor, k: Dim, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The k-th smallest element along an axis, counted from 1, and where it is."""
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    return _without(element_at(x, dim % x.rank, k - 1, most=k), dim % x.rank, keepdim)


@converter(aten.median.default)
def median(x: Tensor) -> Tensor:
    """The lower median of all elements; NaN where one of them is, and of none."""
    return _median_of_all(x, ignore_nan=False)


@converter(aten.nanmedian.default)
def nanmedian(x: Tensor) -> Tensor:
    """The lower median of all elements that are not NaN."""
    return _median_of_all(x, ignore_nan=True)


@converter(aten.median.dim)
def median_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower median along an axis, and where it is; the first NaN where there is one."""
    return _median(x, dim, keepdim, ignore_nan=False)


@converter(aten.nanmedian.dim)
def nanmedian_dim(x: Tensor, dim: int, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The lower median along an axis of the elements that are not NaN, and where it is."""
    return _median(x, dim, keepdim, ignore_nan=True)


@converter(aten.mode.default)
def mode(x: Tensor, dim: int = -1, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The most frequent element along an axis, the smallest of several, and where it stands last.

    All elements are compared with all. A NaN equals nothing, not even itself.
    """
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    axis = dim % x.rank
    ranks = _ranks(x, axis, descending=False)
    number = x if x.dtype.itemsize > 1 else x.cast(DType.INT32)
    same = Unsqueeze(axes=(axis + 1,))(number).equal(Unsqueeze(axes=(axis,))(number))
    times = maximum(Reduce(op=Op.SUM, axes=(axis + 1,))(same.cast(DType.INT32)), 1)
    most = reduced(Op.MAX, times, axis, True)
    # Equal elements follow each other in the order.
    first = reduced(Op.MIN, where(times.equal(most), ranks, x.shape[axis], DType.INT32), axis, True)
    return _without(_at_rank(x, axis, ranks, first + most - 1), axis, keepdim)


def in_order(x: Tensor, dim: int, *, descending: bool, stable: bool) -> tuple[Tensor, Tensor]:
    """The elements along an axis in order, NaN as the largest, and where they were, int64.

    TensorRT's TopK where it takes all of the axis, and equal elements may come in any order. All
    else is exact and stable by comparing all elements with all, for an axis of any kind.
    """
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    axis = dim % x.rank
    size = x.shape[axis]
    if 0 in x.shape or size == 1:
        return x, filled(x.network, x.shape, 0, DType.INT64)
    if isinstance(size, int) and size <= LARGEST_K and _fits_float(x) and not stable:
        return _top(x, size, axis, descending=descending)
    ranks = _ranks(x, axis, descending=descending)
    places = expanded(along(_numbers(x, axis), axis, x.rank), x.shape)
    # The ranks are a permutation, so each place of the result is written once.
    indices = Scatter(mode=ScatterMode.ELEMENT, axis=axis)(places, ranks, places)
    return Gather(mode=GatherMode.ELEMENT, axis=axis)(x, indices), indices.cast(DType.INT64)


def element_at(x: Tensor, axis: int, place: Operand, *, most: Dim) -> tuple[Tensor, Tensor]:
    """The element at a place of the ascending order, below ``most``, and where it was.

    The place is one for all, or for each lane, of size 1 along the axis; as are the results.
    """
    if isinstance(most, int) and most <= LARGEST_K and _fits_float(x):
        ordered = _top(x, most, axis, descending=False)
        if isinstance(place, int):
            values, indices = (section(v, axis, place, 1) for v in ordered)
        else:
            pick = Gather(mode=GatherMode.ELEMENT, axis=axis)
            values, indices = (pick(v, place) for v in ordered)
        return values, indices
    return _at_rank(x, axis, _ranks(x, axis, descending=False), place)


def _top(x: Tensor, k: int, axis: int, *, descending: bool) -> tuple[Tensor, Tensor]:
    op = TopKOperation.MAX if descending else TopKOperation.MIN
    number = x if x.dtype.is_float else x.cast(DType.FLOAT32)  # exact in one byte
    values, indices = first_of(op, number, k, axis)
    return values.cast(x.dtype), indices


def _top_of_some(x: Tensor, k: Dim, axis: int, *, descending: bool) -> tuple[Tensor, Tensor]:
    """The first k, of a number that is known when the engine runs, and may be all or none."""
    most = x.network.bounds(k)[1]
    largest = torch.finfo(x.dtype.torch).max
    shape = (*x.shape[:axis], most, *x.shape[axis + 1 :])
    # As many as there may be, with numbers behind every other so that there are so many.
    behind = filled(x.network, shape, -math.inf if descending else math.inf, x.dtype)
    finite = maximum(x, -largest) if descending else minimum(x, largest)
    wide = Concatenation(axis=axis)(finite, behind)
    indices = section(_top(wide, most, axis, descending=descending)[1], axis, 0, k)
    return Gather(mode=GatherMode.ELEMENT, axis=axis)(x, indices), indices


def _fits_float(x: Tensor) -> bool:
    return x.dtype.is_float or x.dtype.itemsize == 1


def _ranks(x: Tensor, axis: int, *, descending: bool) -> Tensor:
    """The place of each element in the stable order along an axis, int32: how many precede it."""
    size = x.shape[axis]
    require_table(x.network, math.prod(x.shape) * size, f"the order of {x} along axis {axis}")
    number = x if x.dtype.itemsize > 1 else x.cast(DType.INT32)
    one, other = Unsqueeze(axes=(axis + 1,))(number), Unsqueeze(axes=(axis,))(number)
    numbers = _numbers(x, axis)
    earlier = along(numbers, axis + 1, x.rank + 1) < along(numbers, axis, x.rank + 1)
    precedes, equal = precedence(other, one, descending=descending)
    before = precedes | (equal & earlier)
    return Reduce(op=Op.SUM, axes=(axis + 1,))(before.cast(DType.INT32))


def precedence(x: Tensor, y: Tensor, *, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Whether x comes before y, and whether they are equal; NaN is one number, the largest."""
    first, equal = y < x if descending else x < y, x.equal(y)
    if x.dtype.is_float:
        lost, lost_y = isnan(x), isnan(y)
        first = first | (lost & ~lost_y if descending else lost_y & ~lost)
        equal = equal | (lost & lost_y)
    return first, equal


def _numbers(x: Tensor, axis: int) -> Tensor:
    return iota(x.network, x.shape[axis]).cast(DType.INT32)


def _at_rank(x: Tensor, axis: int, ranks: Tensor, rank: Operand) -> tuple[Tensor, Tensor]:
    """The element of a rank along an axis, and where it is; both of size 1 there."""
    place = where(ranks.equal(rank), positions(x, axis), 0, DType.INT64)
    index = reduced(Op.SUM, place, axis, True)
    return Gather(mode=GatherMode.ELEMENT, axis=axis)(x, index), index


def _median(x: Tensor, dim: int, keepdim: bool, *, ignore_nan: bool) -> tuple[Tensor, Tensor]:
    if x.rank == 0:
        return x, filled(x.network, (), 0, DType.INT64)
    axis = dim % x.rank
    size = x.shape[axis]
    half = (size + 1) // 2
    if not x.dtype.is_float:
        return _without(element_at(x, axis, half - 1, most=half), axis, keepdim)
    lost = isnan(x)
    if ignore_nan:
        number = reduced(Op.SUM, (~lost).cast(DType.INT32), axis, True)
        place = maximum(number - 1, 0) // 2
        ordered = _ranks(x, axis, descending=False)
        return _without(_at_rank(x, axis, ordered, place), axis, keepdim)
    # What TensorRT's TopK makes of NaN is not said, and a lane with one is replaced.
    index = element_at(where(lost, 0.0, x, x.dtype), axis, half - 1, most=half)[1]
    first = first_nan(x, axis)
    index = where(first < size, first, index)
    values = Gather(mode=GatherMode.ELEMENT, axis=axis)(x, index)
    return _without((values, index), axis, keepdim)


def first_nan(x: Tensor, axis: int) -> Tensor:
    """Where the first NaN along an axis is, int64 of size 1 there; the axis' size without one."""
    return reduced(Op.MIN, where(isnan(x), positions(x, axis), x.shape[axis]), axis, True)


def _median_of_all(x: Tensor, *, ignore_nan: bool) -> Tensor:
    if 0 in x.shape:
        return filled(x.network, (), math.nan, x.dtype)
    flat = x.reshape(math.prod(x.shape))
    return _median(flat, 0, False, ignore_nan=ignore_nan)[0]


def _without(pair: tuple[Tensor, Tensor], axis: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    values, indices = pair
    if keepdim:
        return values, indices
    drop = Squeeze(axes=(axis,))
    return drop(values), drop(indices)
