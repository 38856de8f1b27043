"""Reduction of segments: runs of elements along an axis, each of a length that a tensor says."""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import add, as_tensor, maximum, minimum, multiply, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .creation import iota
from .indexing import sliced
from .scan import running_sum
from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten

_REDUCTIONS = {
    "sum": (ReduceOperation.SUM, 0.0, add),
    "mean": (ReduceOperation.SUM, 0.0, add),
    "prod": (ReduceOperation.PROD, 1.0, multiply),
    "max": (ReduceOperation.MAX, -math.inf, maximum),
    "min": (ReduceOperation.MIN, math.inf, minimum),
}
"""How a segment is reduced, what of nothing is left, and how an initial value comes to it."""


@converter(aten.segment_reduce.default)
def segment_reduce(
    data: Tensor,
    reduce: str,
    *,
    lengths: Tensor | None = None,
    indices: Tensor | None = None,
    offsets: Tensor | None = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Tensor:
    """``(*A, n, *B)`` and lengths ``(*A, S)``, or offsets ``(*A, S + 1)``, to ``(*A, S, *B)``.

    Every segment looks at every element, as the lengths may be an input: S times the arithmetic
    that PyTorch needs. That the lengths fill the axis is not checked.
    """
    if reduce not in _REDUCTIONS:
        raise ConversionError(
            explain(f"segments have no {reduce!r}", fix=f"one of {', '.join(_REDUCTIONS)}")
        )
    starts, ends = _bounds(lengths, offsets)
    axis %= data.rank
    result = _reduced(data, axis, starts, ends, reduce)
    if initial is not None:
        result = _REDUCTIONS[reduce][2](result, initial)
    if reduce != "mean":
        return result
    least = 0 if initial is None else 1  # of nothing the mean is NaN, or the initial value
    return result / _behind(maximum(ends - starts, least), data, axis).cast(data.dtype)


def _reduced(data: Tensor, axis: int, starts: Tensor, ends: Tensor, reduce: str) -> Tensor:
    """The sums, products or extremes of the segments from ``starts`` to before ``ends``."""
    operation, nothing, _ = _REDUCTIONS[reduce]
    fold = Reduce(op=operation, axes=(axis + 1,))
    each = Unsqueeze(axes=(axis + 1,))
    places = iota(data.network, data.shape[axis])
    inside = (places >= each(starts)) & (places < each(ends))
    mask = inside.reshape(*inside.shape, *(1,) * (data.rank - 1 - axis))
    elements = Unsqueeze(axes=(axis,))(data)
    if not math.isinf(nothing) or data.shape[axis] == 0:
        return fold(where(mask, elements, nothing, data.dtype))
    # TensorRT 8.6 reads an infinite constant as 1e38 where sizes vary: a segment's first element
    # stands for all others, and only an empty segment is infinite.
    found = fold(where(mask, elements, each(_at(data, axis, starts))))
    return where(_behind(ends <= starts, data, axis), nothing, found, data.dtype)


def _behind(x: Tensor, data: Tensor, axis: int) -> Tensor:
    """``(*A, S)`` as it broadcasts to ``(*A, S, *B)``."""
    return x.reshape(*x.shape, *(1,) * (data.rank - 1 - axis))


def _at(data: Tensor, axis: int, places: Tensor) -> Tensor:
    """The elements at places ``(*A, S)`` of an axis, ``(*A, S, *B)``; the last one beyond it."""
    behind = data.shape[axis + 1 :]
    inside = minimum(places, as_tensor(data.shape[axis], data.network, places.dtype) - 1)
    index = inside.reshape(*inside.shape, *(1,) * len(behind))
    return Gather(mode=GatherMode.ELEMENT, axis=axis)(
        data, expanded(index, (*inside.shape, *behind))
    )


def _bounds(lengths: Tensor | None, offsets: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where segments begin and end: int64 ``(*A, S)``."""
    if lengths is not None:
        lengths = lengths.cast(DType.INT64)
        ends = running_sum(lengths, lengths.rank - 1)
        return ends - lengths, ends
    if offsets is None:
        raise ConversionError(
            explain("segments of neither lengths nor offsets", fix="give lengths=")
        )
    offsets, last = offsets.cast(DType.INT64), offsets.rank - 1
    count = offsets.shape[last]
    return sliced(offsets, last, 0, count - 1), sliced(offsets, last, 1, count)
