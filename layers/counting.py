"""Counting elements into bins, and finding places in sorted sequences, by comparing all with all.

The tables of comparisons have the elements times the bins, or boundaries.
"""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.cast import Cast, Identity
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.ir.topk import TopK
from trtdsl.network import Operand, Scalar, Tensor
from trtdsl.operators import as_tensor, minimum, where
from trtdsl.reference import fold, settle
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import filled, iota
from .places import require_table
from .reduction import reduced
from .scan import running_sum

__all__: list[str] = []

aten = torch.ops.aten

_KEEPS_VALUES = (Cast, Identity, Shuffle, Squeeze, Unsqueeze)


@converter(aten.histc.default)
def histc(x: Tensor, bins: int = 100, min: Scalar = 0, max: Scalar = 0) -> Tensor:
    """How many elements are in each of ``bins`` equal parts of ``min..max``, in x's dtype.

    With ``min == max`` the parts are of the smallest to the largest element. What is outside of
    them counts nowhere, and the largest value counts in the last.
    """
    if 0 in x.shape:
        return filled(x.network, (bins,), 0, x.dtype)
    count = math.prod(x.shape)
    require_table(x.network, count * bins, f"histc of {x} in {bins} bins")
    flat = x.reshape(count).cast(DType.FLOAT32)
    low, high = _ends(flat, min, max)
    # The order of PyTorch's arithmetic, so that an element beside an edge falls to the same side.
    place = Unary(op=UnaryOperation.FLOOR)((flat - low) * bins / (high - low))
    inside = ~(flat < low) & (flat <= high)
    number = where(inside, minimum(place, bins - 1), -1.0).reshape(count, 1)
    hits = number.equal(iota(x.network, bins).cast(DType.FLOAT32).reshape(1, bins))
    return Reduce(op=ReduceOperation.SUM, axes=(0,))(hits.cast(DType.INT32)).cast(x.dtype)


@converter(aten.bincount.default)
def bincount(x: Tensor, weights: Tensor | None = None, minlength: Dim = 0) -> Tensor:
    """How often each number is in x, or the sum of its weights: ``(n,) -> (minlength,)``.

    The result is as long as the largest element says, so this is for places that a topk, argmax or
    the like found along an axis of at most ``minlength``; all others are refused.
    """
    size = _axis_of_places(x)
    if size is None or not isinstance(minlength, int) or size > minlength:
        raise ConversionError(
            explain(
                f"bincount of {x}: how long it is depends on its values",
                fix="of numbers below n: torch.zeros(n).scatter_add(0, x, weights), or "
                "torch.histc; of what topk or argmax finds along an axis of n: minlength=n",
            )
        )
    (count,) = x.shape
    require_table(x.network, count * minlength, f"bincount of {x} in {minlength} bins")
    hits = x.reshape(count, 1).equal(iota(x.network, minlength).reshape(1, minlength))
    if weights is None:
        total = Reduce(op=ReduceOperation.SUM, axes=(0,))(hits.cast(DType.INT32))
        return total.cast(DType.INT64)
    return reduced(ReduceOperation.SUM, where(hits, weights.reshape(count, 1), 0.0), (0,))


def _axis_of_places(x: Tensor) -> int | None:
    """The size of the axis in which all of x are places, where the network proves one."""
    maker = x.producer
    while maker and x.dtype.is_integer and isinstance(maker.layer, _KEEPS_VALUES):
        (x, *_) = maker.inputs
        maker = x.producer
    if not maker or not isinstance(maker.layer, TopK) or x is not maker.outputs[1]:
        return None
    size = maker.inputs[0].shape[maker.layer.axis]
    return size if isinstance(size, int) else None


def _ends(x: Tensor, low: Scalar, high: Scalar) -> tuple[Operand, Operand]:
    """The ends of the bins, one further to either side where they would be equal."""
    if low != high:
        return float(low), float(high)
    first, last = reduced(ReduceOperation.MIN, x), reduced(ReduceOperation.MAX, x)
    same = first.equal(last)
    return where(same, first - 1, first), where(same, last + 1, last)


@converter(aten.searchsorted.Tensor, aten.searchsorted.Scalar)
def searchsorted(
    sorted_sequence: Tensor,
    x: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where each element belongs in a sorted sequence: before equal ones, or behind (``right``).

    The sequence is a vector, or ``(*S, n)`` with the elements ``(*S, m)``.
    """
    if sorter is not None:
        mode = GatherMode.ELEMENT
        layer = Gather(mode=mode, axis=sorted_sequence.rank - 1)
        sorted_sequence = layer(sorted_sequence, sorter)
    return _places(sorted_sequence, x, right or side == "right", out_int32)


@converter(aten.bucketize.Tensor, aten.bucketize.Scalar)
def bucketize(
    x: Operand, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """How many of the sorted boundaries are below each element, or at most it (``right``)."""
    return _places(boundaries, x, right, out_int32)


def _places(boundaries: Tensor, x: Operand, right: bool, out_int32: bool) -> Tensor:
    net, dtype = boundaries.network, DType.INT32 if out_int32 else DType.INT64
    value = x if isinstance(x, Tensor) else as_tensor(x, net)
    count = boundaries.shape[-1]
    if 0 in value.shape or count == 0:
        return filled(net, value.shape, 0, dtype)
    require_table(net, math.prod(value.shape) * count, f"{value} among {boundaries}")
    one = Unsqueeze(axes=(value.rank,))(value)
    if boundaries.rank > 1:
        boundaries = Unsqueeze(axes=(boundaries.rank - 1,))(boundaries)
    # NaN belongs at the end, so what is counted is what it is not below.
    below = ~(one < boundaries) if right else ~(one <= boundaries)
    return Reduce(op=ReduceOperation.SUM, axes=(value.rank,))(below.cast(DType.INT32)).cast(dtype)


@converter(aten.repeat_interleave.Tensor)
def repeat_interleave(repeats: Tensor, *, output_size: Dim | None = None) -> Tensor:
    """Each place of ``repeats`` as often as it says, ``output_size`` in all."""
    ends = running_sum(repeats.cast(DType.INT64), 0)
    if output_size is None:
        output_size = _known_total(repeats)
    return _places(ends, iota(repeats.network, output_size), True, repeats.dtype is DType.INT32)


@converter(aten.repeat_interleave.self_Tensor)
def repeat_interleave_tensor(
    x: Tensor, repeats: Tensor, dim: int | None = None, *, output_size: Dim | None = None
) -> Tensor:
    """The slices along an axis, or the elements of x laid flat, as often as ``repeats`` says."""
    if dim is None or x.rank == 0:
        x, dim = x.reshape(math.prod(x.shape)), 0
    axis = dim % x.rank
    if repeats.rank == 0 or repeats.shape[0] == 1:
        repeats = repeats.reshape(1) + filled(x.network, (x.shape[axis],), 0, repeats.dtype)
    return Gather(axis=axis)(x, repeat_interleave(repeats, output_size=output_size))


def _known_total(repeats: Tensor) -> int:
    if not repeats.is_constant:
        raise ConversionError(
            explain(
                f"repeat_interleave by {repeats}: how many there are in all depends on its values",
                fix="give output_size=, or repeats that are a buffer of the model",
            )
        )
    settle(repeats)
    return int(fold(repeats).sum())
