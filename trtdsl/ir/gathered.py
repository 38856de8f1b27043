"""``gathered``: a slice that reads out of bounds, by the indices of what it reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtdsl.ir.fill import Fill
from trtdsl.ir.gather import Gather
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.operators import (
    add,
    as_tensor,
    less,
    less_equal,
    logical_and,
    maximum,
    minimum,
    multiply,
    remainder,
    subtract,
    where,
)
from trtdsl.types import Dim, DType, is_static

if TYPE_CHECKING:
    from trtdsl.network import Network, Tensor

__all__ = ["gathered"]


def gathered(layer: Slice, x: Tensor, fill: Tensor | None = None) -> Tensor:
    """What a slice of mode CLAMP, FILL or REFLECT gives, axis by axis, of elements of any dtype."""
    net, inside = x.network, None
    outside = net.constant(0, x.dtype) if fill is None else fill
    if 0 in x.shape:  # nothing to read
        single = outside.reshape(*(1,) * x.rank)
        return Slice(start=(0,) * x.rank, shape=layer.shape, stride=(0,) * x.rank)(single)
    for axis, size in enumerate(x.shape):
        start, count, stride = layer.start[axis], layer.shape[axis], layer.stride[axis]
        if (start, count, stride) == (0, size, 1):
            continue
        at = _coordinates(net, start, count, stride)
        x = Gather(axis=axis)(x, _inside(layer.mode, at, size))
        if layer.mode is SampleMode.FILL:
            sides = (1,) * (x.rank - axis - 1)
            known = logical_and(less_equal(0, at), less(at, size)).reshape(count, *sides)
            inside = known if inside is None else logical_and(inside, known)
    return x if inside is None else where(inside, x, outside)


def _coordinates(net: Network, start: Dim, count: Dim, stride: Dim) -> Tensor:
    """``start + i * stride`` for i below ``count``, int64."""
    if is_static((start, count, stride)):
        import torch

        return net.constant(start + stride * torch.arange(count))
    (index,) = net.append(Fill(shape=(count,)), ())
    return add(multiply(index, stride), start)


def _inside(mode: SampleMode, at: Tensor, size: Dim) -> Tensor:
    """The element that is read at each coordinate, as ``Slice.evaluate`` has it."""
    last = subtract(as_tensor(size, at.network, DType.INT64), 1)
    if mode is not SampleMode.REFLECT:
        return maximum(minimum(at, last), 0)
    period = maximum(multiply(last, 2), 1)
    index = remainder(at, period)
    return minimum(index, subtract(period, index))
