"""Integers that TensorRT 8.6 computes in float32, which is exact up to 2 ** 24 only, made exact.

Seen there: a reduction of int32 is computed in float32 and saturates, and so are divisions, of two
tensors in some networks only. Sums, products, extremes and comparisons are exact.
"""

from __future__ import annotations

import math

from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.select import Select
from trtdsl.ir.shuffle import Squeeze
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast, minimum, where
from trtdsl.passes.rewrite import rewrite
from trtdsl.reference import fold
from trtdsl.types import Dim, DType, as_dim

__all__ = ["exact_integers"]

_Op = ElementWiseOperation
_EXACT = 2**24
_LEAST, _MOST = -(2**31), 2**31 - 1
_READ = 1 << 16
"""Elements of a constant that are looked at."""
_COMBINED = {ReduceOperation.SUM: (_Op.SUM, 0), ReduceOperation.PROD: (_Op.PROD, 1)}
"""The operation on two elements of those that are combined by halves, and what changes nothing."""
_PADDED = 1 << 16
"""An axis that varies is filled up to so many elements, where it has no more."""
_HALF = 1 << 16
"""What an integer's upper half counts."""


def exact_integers(network: Network) -> Network:
    """The network with reductions and divisions of integers in layers that are exact."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    layer, x = operation.layer, inputs[0] if inputs else None
    if x is None or x.dtype not in (DType.INT32, DType.INT64):
        return None
    if all(y.is_constant for y in inputs):
        return None
    if isinstance(layer, Reduce):
        if _is_small(x, layer):
            return None
        return (_combined(x, layer) if layer.op in _COMBINED else _extreme(x, layer),)
    if _divides(layer) and (x.rank > 0 or inputs[1].is_constant):  # a scalar may be a size
        floored = _floor_divided(x, inputs[1])
        exact = floored if layer == ElementWise(op=_Op.FLOOR_DIV) else _cut(x, inputs[1], floored)
        return (exact,)
    return None


def _is_small(x: Tensor, layer: Reduce) -> bool:
    """Whether what is known of x's values keeps its reduction below 2 ** 24."""
    largest = _magnitude(x)
    if largest is None or (layer.op is ReduceOperation.PROD and largest > 1):
        return False
    if layer.op is not ReduceOperation.SUM:
        return largest < _EXACT
    count = math.prod(x.network.bounds(x.shape[axis])[1] for axis in layer.axes)
    return bool(largest * count < _EXACT)


def _magnitude(x: Tensor) -> int | None:
    """The largest absolute value that x may have, where what made it tells."""
    made = x.producer
    if x.is_constant:
        values = fold(x)
        if not 0 < values.numel() <= _READ:
            return None
        return max(abs(int(values.min())), abs(int(values.max())))  # abs(-2 ** 31) has no int32
    if made is None:
        return None
    if isinstance(made.layer, Cast) and made.inputs[0].dtype.itemsize == 1:
        return 1 if made.inputs[0].dtype is DType.BOOL else 255
    if isinstance(made.layer, Select):
        branches = [_magnitude(branch) for branch in made.inputs[1:]]
        known = [m for m in branches if m is not None]
        return max(known) if len(known) == len(branches) else None
    return None


def _divides(layer: Layer) -> bool:
    return isinstance(layer, ElementWise) and layer.op in (_Op.FLOOR_DIV, _Op.DIV)


def _extreme(x: Tensor, layer: Reduce) -> Tensor:
    """The extreme upper half, and the extreme of what that leaves of its own: both are small.

    A quotient of float32 may be one off, and is no smaller for a larger dividend all the same.
    """
    reduced = Reduce(op=layer.op, axes=layer.axes, keep_dimensions=True)
    least = layer.op is ReduceOperation.MIN
    upper = minimum(x // _HALF, _HALF // 2 - 1)
    rest = x - upper * _HALF
    first = reduced(upper)
    of_first = where(upper.equal(first), rest, 4 * _HALF if least else -4 * _HALF, x.dtype)
    y = first * _HALF + reduced(of_first)
    return y if layer.keep_dimensions else Squeeze(axes=layer.axes)(y)


def _combined(x: Tensor, layer: Reduce) -> Tensor:
    """Halves of the axis combined until one element is left."""
    op, neutral = _COMBINED[layer.op]
    for axis in layer.axes:
        largest = x.network.bounds(x.shape[axis])[1]
        if largest <= _PADDED and x.shape[axis] != largest:
            x = _filled(x, axis, 0, largest, neutral)  # sizes of sizes take TensorRT minutes
        if largest == 0:
            x = _filled(x, axis, 0, 1, neutral)
        while largest > 1:
            half = as_dim((x.shape[axis] + 1) // 2) if largest > 2 else 1
            x = ElementWise(op=op)(*_halves(x, axis, half, neutral))
            largest = (largest + 1) // 2
    return x if layer.keep_dimensions else Squeeze(axes=layer.axes)(x)


def _halves(x: Tensor, axis: int, half: Dim, neutral: int) -> tuple[Tensor, Tensor]:
    """``half`` elements from the start, and the rest; what does not come out even is filled up."""
    if as_dim(x.shape[axis] - half) == half:
        return _part(x, axis, 0, half), _part(x, axis, half, half)
    return _filled(x, axis, 0, half, neutral), _filled(x, axis, half, half, neutral)


def _part(x: Tensor, axis: int, start: Dim, size: Dim) -> Tensor:
    starts = tuple(start if a == axis else 0 for a in range(x.rank))
    shape = tuple(size if a == axis else n for a, n in enumerate(x.shape))
    return Slice(start=starts, shape=shape, stride=(1,) * x.rank)(x)


def _filled(x: Tensor, axis: int, start: Dim, size: Dim, fill: int) -> Tensor:
    """``size`` elements of an axis; those behind its end are ``fill``."""
    starts = tuple(start if a == axis else 0 for a in range(x.rank))
    shape = tuple(size if a == axis else n for a, n in enumerate(x.shape))
    part = Slice(start=starts, shape=shape, stride=(1,) * x.rank, mode=SampleMode.FILL)
    return part(x, x.network.constant(fill, x.dtype))


def _floor_divided(x: Tensor, y: Tensor) -> Tensor:
    """``x // y``: the quotient of float32, and then what it leaves over divided again.

    What the second quotient leaves over is less than y away from right, one step up or down.
    """
    divide = ElementWise(op=_Op.FLOOR_DIV)
    quotient = divide(x, y)
    quotient = quotient + divide(x - quotient * y, y)
    rest = x - quotient * y
    sign = _sign(y)
    low, high = rest * sign < 0, ~(rest * sign < y * sign)
    return quotient + cast(high, x.dtype) - cast(low, x.dtype)


def _sign(y: Tensor) -> Tensor:
    return 1 - cast(y < 0, y.dtype) * 2


def _cut(x: Tensor, y: Tensor, floored: Tensor) -> Tensor:
    """The quotient rounded to zero, of the one that is rounded down."""
    inexact = ~(floored * y).equal(x)
    opposite = ((x < 0) & ~(y < 0)) | (~(x < 0) & (y < 0))
    return floored + cast(inexact & opposite, x.dtype)
