"""Distinct elements and slices, sorted or in runs: how many there are, their values decide."""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.scatter import Scatter, ScatterMode
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, maximum
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import filled, iota
from .data_dependent import indices_of
from .places import require_table
from .scan import along, positions, running_sum
from .sorting import in_order, precedence

__all__: list[str] = []

aten = torch.ops.aten
Op = ReduceOperation


@converter(aten._unique2.default)
def unique(
    x: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct elements in order, which of them each element is, and how many there are.

    What is not asked for is empty, as in PyTorch. A NaN equals nothing, not even itself.
    """
    flat = x.reshape(math.prod(x.shape))
    ordered, order = in_order(flat, 0, descending=False, stable=True)
    values, number, counts = _runs(ordered)
    inverse = Scatter(mode=ScatterMode.ELEMENT)(order, order, number).reshape(*x.shape)
    return values, inverse if return_inverse else _none(x), counts if return_counts else _none(x)


@converter(aten.unique_consecutive.default)
def unique_consecutive(
    x: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The first of each run of equal elements, which run each is in, and how long the runs are.

    Of slices along ``dim`` if it is given, and then all three.
    """
    if dim is not None and dim < 0:
        raise ConversionError(
            explain(
                f"unique_consecutive along axis {dim}, of which PyTorch's export has another shape",
                fix=f"count from the front: dim={dim % x.rank}",
            )
        )
    if dim is not None:
        values, inverse, counts = _runs(_leading(x, dim))
        return _back(values, dim), inverse, counts
    values, number, counts = _runs(x.reshape(math.prod(x.shape)))
    inverse = number.reshape(*x.shape) if return_inverse else _none(x)
    return values, inverse, counts if return_counts else _none(x)


@converter(aten.unique_dim.default)
def unique_dim(
    x: Tensor,
    dim: int,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The distinct slices along ``dim`` in lexicographic order, which each is, and how many.

    All slices are compared with all, element by element.
    """
    axis = dim % x.rank
    slices = _leading(x, axis)
    ranks = _ranks(slices.reshape(slices.shape[0], math.prod(slices.shape[1:])))
    places = iota(x.network, slices.shape[0])
    order = Scatter(mode=ScatterMode.ELEMENT)(places, ranks, places)
    values, number, counts = _runs(Gather(axis=0)(slices, order))
    return _back(values, axis), Scatter(mode=ScatterMode.ELEMENT)(order, order, number), counts


def _runs(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The first slice of each run along axis 0, the run of each slice, and the runs' lengths."""
    size = x.shape[0]
    if 0 in x.shape:
        return x, filled(x.network, (size,), 0, DType.INT64), _none(x)
    first = positions(x, 0).reshape(size).equal(0)
    if size != 1:
        number = x if x.dtype.itemsize > 1 else x.cast(DType.INT32)
        # No joined slices: TensorRT 8.6 was seen to take the two of one element for x itself.
        before = Gather(axis=0)(number, maximum(iota(x.network, size) - 1, 0))
        differs = ~number.equal(before)
        if x.rank > 1:
            rest = tuple(range(1, x.rank))
            differs = Reduce(op=Op.MAX, axes=rest)(differs.cast(DType.INT32)).cast(DType.BOOL)
        first = first | differs
    (starts,) = indices_of(first)
    runs = running_sum(first.cast(DType.INT64), 0) - 1
    return Gather(axis=0)(x, starts), runs, _lengths(starts, size)


def _lengths(starts: Tensor, size: Dim) -> Tensor:
    end = as_tensor(size, starts.network, DType.INT64).reshape(1)
    ends = section(Concatenation(axis=0)(starts, end), 0, 1, starts.shape[0])
    return ends - starts


def _ranks(rows: Tensor) -> Tensor:
    """How many rows come before each one in the stable lexicographic order: ``(n, m) -> (n,)``."""
    count, width = rows.shape
    require_table(rows.network, count * count * width, f"the order of the rows of {rows}")
    rows = rows if rows.dtype.itemsize > 1 else rows.cast(DType.INT32)
    one, other = rows.reshape(count, 1, width), rows.reshape(1, count, width)
    first, equal = precedence(other, one)
    differs = (~equal).cast(DType.INT32)
    # What decides is the first column that differs.
    decides = running_sum(differs, 2).equal(1) & first
    precedes = Reduce(op=Op.MAX, axes=(2,))(decides.cast(DType.INT32)).cast(DType.BOOL)
    alike = Reduce(op=Op.MAX, axes=(2,))(differs).equal(0)
    numbers = iota(rows.network, count)
    before = precedes | (alike & (along(numbers, 1, 2) < along(numbers, 0, 2)))
    return Reduce(op=Op.SUM, axes=(1,))(before.cast(DType.INT32))


def _leading(x: Tensor, axis: int) -> Tensor:
    return x.permute(axis, *(a for a in range(x.rank) if a != axis))


def _back(x: Tensor, axis: int) -> Tensor:
    return x.permute(*range(1, axis + 1), 0, *range(axis + 1, x.rank))


def _none(x: Tensor) -> Tensor:
    return filled(x.network, (0,), 0, DType.INT64)
