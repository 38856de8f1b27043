"""Running sums, products, extremes and log-sums along an axis."""

from __future__ import annotations

from collections.abc import Callable

import torch

from trtdsl.ir.cumulative import Cumulative, shifted, strides
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.slice import SampleMode
from trtdsl.network import Tensor
from trtdsl.operators import maximum, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .comparison import isnan
from .creation import filled, iota
from .shape import expanded

__all__ = ["along", "positions", "running_sum"]

aten = torch.ops.aten


@converter(aten.cumsum.default)
def cumsum(x: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """``y[i] = x[0] + .. + x[i]`` along ``dim``: integers and bool in int64, halves in float32."""
    x = x.cast(dtype or _wide(x))
    return running_sum(_counted(x), dim).cast(x.dtype)


@converter(aten.cumprod.default)
def cumprod(x: Tensor, dim: int, *, dtype: DType | None = None) -> Tensor:
    """``y[i] = x[0] * .. * x[i]`` along ``dim``: integers and bool in int64, halves in float32."""
    x = x.cast(dtype or _wide(x))
    y = _counted(x)
    if y.rank and 0 not in y.shape:
        axis = dim % y.rank
        for stride in strides(y, axis):
            y = y * shifted(y, axis, stride, fill=1)
    return y.cast(x.dtype)


@converter(aten.logcumsumexp.default)
def logcumsumexp(x: Tensor, dim: int) -> Tensor:
    """``log(exp(x[0]) + .. + exp(x[i]))`` along ``dim``, the larger of each two taken out."""
    if x.rank == 0 or 0 in x.shape:
        return x
    axis = dim % x.rank
    y = x.cast(DType.FLOAT32)
    for stride in strides(y, axis):
        before = shifted(y, axis, stride, SampleMode.CLAMP)
        y = where(positions(y, axis) < stride, y, _log_sum(before, y))
    return y.cast(x.dtype)


@converter(aten.cummax.default)
def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The largest element so far along ``dim``, and the last place where it stands; NaN stays."""
    return _extremes(x, dim, lambda earlier, later: earlier <= later)


@converter(aten.cummin.default)
def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """The smallest element so far along ``dim``, and the last place where it stands; NaN stays."""
    return _extremes(x, dim, lambda earlier, later: later <= earlier)


def running_sum(x: Tensor, dim: int) -> Tensor:
    """The running sum in x's own dtype; x itself where it has at most one element."""
    if x.rank == 0 or 0 in x.shape or x.shape[dim] == 1:
        return x
    return Cumulative(axis=dim % x.rank)(x)


def along(x: Tensor, axis: int, rank: int) -> Tensor:
    """A vector as a tensor of so many axes, of which all others have size 1."""
    return x.reshape(*(x.shape[0] if a == axis else 1 for a in range(rank)))


def positions(x: Tensor, axis: int) -> Tensor:
    """``0 .. n - 1`` along an axis of x, int64, in x's rank."""
    return along(iota(x.network, x.shape[axis]), axis, x.rank)


def _extremes(
    x: Tensor, dim: int, is_reached: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, Tensor]:
    if x.rank == 0 or 0 in x.shape:
        return x, filled(x.network, x.shape, 0, DType.INT64)
    axis = dim % x.rank
    values = x if x.dtype.itemsize > 1 else x.cast(DType.INT32)
    indices = expanded(positions(x, axis), x.shape)
    for stride in strides(values, axis):
        # Clamped, the first elements are held against the very first, which they follow anyway.
        earlier, place = (shifted(v, axis, stride, SampleMode.CLAMP) for v in (values, indices))
        later = is_reached(earlier, values)
        if values.dtype.is_float:
            later = later | isnan(values)
        values, indices = where(later, values, earlier), where(later, indices, place)
    return values.cast(x.dtype), indices


def _log_sum(x: Tensor, y: Tensor) -> Tensor:
    largest = maximum(x, y)
    # An infinite one is not taken out: inf - inf would be NaN.
    largest = where(Unary(op=UnaryOperation.ISINF)(largest), 0.0, largest)
    exp, log = Unary(op=UnaryOperation.EXP), Unary(op=UnaryOperation.LOG)
    return log(exp(x - largest) + exp(y - largest)) + largest


def _wide(x: Tensor) -> DType:
    return x.dtype if x.dtype.is_float else DType.INT64


def _counted(x: Tensor) -> Tensor:
    """x in a dtype that TensorRT adds and multiplies, with room for many of them."""
    if x.dtype.is_float:
        return x.cast(DType.FLOAT32)
    return x if x.dtype in (DType.INT32, DType.INT64) else x.cast(DType.INT32)
