"""Interpolation along an axis whose sizes are no numbers yet: places and weights, computed.

What PyTorch works out from sizes and scale for each new element, as tensors of the network.
Source: ATen/native/UpSample.h; ATen/native/cpu/UpSampleKernel.cpp for antialiasing.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Network, Tensor
from trtdsl.operators import as_tensor, equal, less, maximum, minimum, where
from trtdsl.types import Dim, DType

from .creation import iota

__all__ = ["antialiased", "cubic", "linear", "nearest", "scale_of"]


def scale_of(
    net: Network, old: Dim, new: Dim, factor: float | None, align_corners: bool = False
) -> Tensor:
    """How far apart new elements are in the old ones, a float32 scalar."""
    if align_corners:
        steps = maximum(as_tensor(new, net) - 1, 1)
        return _float(as_tensor(old, net) - 1) / _float(steps)
    if factor is not None:
        return net.constant(1 / factor, DType.FLOAT32)
    return _float(as_tensor(old, net)) / _float(as_tensor(new, net))


def nearest(old: Dim, new: Dim, scale: Tensor, *, exact: bool) -> Tensor:
    """The old element of each new one: int32 ``(new,)``."""
    at = _float(iota(scale.network, new)) + (0.5 if exact else 0)
    place = _floor(at * scale).cast(DType.INT32)
    return minimum(place, as_tensor(old, scale.network).cast(DType.INT32) - 1)


def linear(old: Dim, new: Dim, scale: Tensor, *, align_corners: bool) -> Tensor:
    """What each new element takes of the two around it: ``(new, old)``."""
    last = _float(as_tensor(old, scale.network) - 1)
    source = minimum(maximum(_source(new, scale, align_corners), 0.0), last)
    return _triangle(_distance(source, old))


def cubic(old: Dim, new: Dim, scale: Tensor, *, align_corners: bool) -> Tensor:
    """What each new element takes of the four around it; beyond the ends are the outermost."""
    net = scale.network
    source, last = _source(new, scale, align_corners), as_tensor(old, net) - 1
    places = iota(net, old)
    weights = _cubic(_distance(source, old), -0.75)
    source = source.reshape(new, 1)
    before = _cubic(_abs(source + 1), -0.75) + _cubic(_abs(source + 2), -0.75)
    after = sum(_cubic(_abs(source - _float(last + n)), -0.75) for n in (1, 2))
    first = _float(equal(places, 0).cast(DType.INT32))
    final = _float(equal(places, last).cast(DType.INT32))
    return weights + before * first + after * final


def antialiased(old: Dim, new: Dim, scale: Tensor, *, is_cubic: bool) -> Tensor:
    """What each new element takes of all that a kernel as wide as the reduction reaches."""
    centre = (_float(iota(scale.network, new)) + 0.5) * scale - 0.5
    away = _distance(centre, old) / maximum(scale, 1.0)
    weights = _cubic(away, -0.5) if is_cubic else _triangle(away)
    total = Reduce(op=ReduceOperation.SUM, axes=(1,), keep_dimensions=True)(weights)
    return weights / total


def _source(new: Dim, scale: Tensor, align_corners: bool) -> Tensor:
    at = _float(iota(scale.network, new))
    return at * scale if align_corners else (at + 0.5) * scale - 0.5


def _distance(source: Tensor, old: Dim) -> Tensor:
    """Between new elements at ``source (new,)`` and old ones: ``(new, old)``."""
    return _abs(source.reshape(source.shape[0], 1) - _float(iota(source.network, old)))


def _triangle(away: Tensor) -> Tensor:
    return maximum(1.0 - away, 0.0)


def _cubic(d: Tensor, a: float) -> Tensor:
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return where(less(d, 1.0), near, where(less(d, 2.0), far, 0.0))


def _float(x: Tensor) -> Tensor:
    return x.cast(DType.FLOAT32)


def _abs(x: Tensor) -> Tensor:
    return Unary(op=UnaryOperation.ABS)(x)


def _floor(x: Tensor) -> Tensor:
    return Unary(op=UnaryOperation.FLOOR)(x)
