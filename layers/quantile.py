"""Quantiles: what stands at a fraction of the order, and between two elements of it."""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.reduce import ReduceOperation
from trtdsl.ir.shuffle import Squeeze
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .comparison import isnan
from .reduction import reduced
from .shape import expanded
from .sorting import first_nan, in_order

__all__: list[str] = []

aten = torch.ops.aten
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


@converter(aten.quantile.scalar)
def quantile_scalar(
    x: Tensor,
    q: float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value that a fraction ``q`` of the elements along an axis, or of all, is below."""
    return quantile(x, as_tensor(float(q), x.network), dim, keepdim, interpolation=interpolation)


@converter(aten.quantile.default)
def quantile(
    x: Tensor,
    q: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value for each fraction of ``q``, along a new first axis; NaN where an element is."""
    return _quantile(x, q, dim, keepdim, interpolation, ignore_nan=False)


@converter(aten.nanquantile.scalar)
def nanquantile_scalar(
    x: Tensor,
    q: float,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value that a fraction ``q`` of the elements that are not NaN is below."""
    return nanquantile(x, as_tensor(float(q), x.network), dim, keepdim, interpolation=interpolation)


@converter(aten.nanquantile.default)
def nanquantile(
    x: Tensor,
    q: Tensor,
    dim: int | None = None,
    keepdim: bool = False,
    *,
    interpolation: str = "linear",
) -> Tensor:
    """The value for each fraction of ``q`` of the elements that are not NaN."""
    return _quantile(x, q, dim, keepdim, interpolation, ignore_nan=True)


def _quantile(
    x: Tensor, q: Tensor, dim: int | None, keepdim: bool, how: str, *, ignore_nan: bool
) -> Tensor:
    if how not in _INTERPOLATIONS:
        wanted = ", ".join(_INTERPOLATIONS)
        raise ConversionError(explain(f"there is no interpolation {how!r}", fix=f"one of {wanted}"))
    rank = x.rank
    if dim is None or rank == 0:
        lanes, axis = x.reshape(math.prod(x.shape)), 0
    else:
        axis = dim % rank
        lanes = x.permute(*(a for a in range(rank) if a != axis), axis)
    fractions = q if q.rank else q.reshape(1)
    values = _fractions_of(lanes, fractions, how, ignore_nan)
    values = values.permute(values.rank - 1, *range(values.rank - 1))
    if keepdim:
        kept = [1] * rank if dim is None else [1 if a == axis else d for a, d in enumerate(x.shape)]
        values = values.reshape(fractions.shape[0], *kept)
    return values if q.rank else Squeeze(axes=(0,))(values)


def _fractions_of(x: Tensor, q: Tensor, how: str, ignore_nan: bool) -> Tensor:
    """``(*S, n), (Q,) -> (*S, Q)``."""
    last, size = x.rank - 1, x.shape[-1]
    shape = (*x.shape[:-1], q.shape[0])
    fractions = q.cast(DType.FLOAT32)
    if ignore_nan:
        ordered = in_order(x, last, descending=False, stable=True)[0]
        number = reduced(ReduceOperation.SUM, (~isnan(x)).cast(DType.INT32), last, True)
        place = fractions * maximum(number - 1, 0).cast(DType.FLOAT32)
        return _between(ordered, expanded(place, shape), how)
    # What TensorRT's TopK makes of NaN is not said, and a lane with one is replaced.
    clean = where(isnan(x), 0.0, x, x.dtype)
    ordered = in_order(clean, last, descending=False, stable=False)[0]
    place = fractions * as_tensor(size - 1, x.network, DType.FLOAT32)
    values = _between(ordered, expanded(place, shape), how)
    first = first_nan(x, last)
    nan = Gather(mode=GatherMode.ELEMENT, axis=last)(x, minimum(first, size - 1))
    return where(first < size, nan, values)


def _between(ordered: Tensor, place: Tensor, how: str) -> Tensor:
    """The elements at fractional places of the last axis."""

    def rounded(op: UnaryOperation) -> Tensor:
        return Unary(op=op)(place)

    def at(whole: Tensor) -> Tensor:
        layer = Gather(mode=GatherMode.ELEMENT, axis=ordered.rank - 1)
        return layer(ordered, whole.cast(DType.INT32))

    below, above = rounded(UnaryOperation.FLOOR), rounded(UnaryOperation.CEIL)
    match how:
        case "lower":
            return at(below)
        case "higher":
            return at(above)
        case "nearest":
            return at(rounded(UnaryOperation.ROUND))
        case "midpoint":
            return at(above) - (at(above) - at(below)) * 0.5
    low, high, weight = at(below), at(above), place - below
    # As PyTorch's lerp, from the nearer end, which is then met exactly.
    return where(weight < 0.5, low + weight * (high - low), high - (high - low) * (1 - weight))
