"""Sampling at coordinates: ``grid_sample`` of images and volumes, and affine grids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.gather import Gather
from trtdsl.ir.grid_sample import GridSample
from trtdsl.ir.resize import InterpolationMode
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import SampleMode
from trtdsl.network import Network, Tensor
from trtdsl.operators import maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import filled, iota
from .indexing import select

__all__: list[str] = []

aten = torch.ops.aten

_MODES = (InterpolationMode.LINEAR, InterpolationMode.NEAREST, InterpolationMode.CUBIC)
_OUTSIDE = (SampleMode.FILL, SampleMode.CLAMP, SampleMode.REFLECT)
"""In the order of PyTorch's numbers."""


@converter(aten.grid_sampler.default, aten.grid_sampler_2d.default, aten.grid_sampler_3d.default)
def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """``(N, C, *S), (N, *s, rank) -> (N, C, *s)``: images by TensorRT's layer, volumes by gathers.

    Mirroring about the edges of the outermost elements, not their middles, is by gathers too: of
    TensorRT's layer only the other is documented. So are cubic weights: TensorRT 8.6 was seen to
    have others than PyTorch.
    """
    mode, outside = _MODES[interpolation_mode], _OUTSIDE[padding_mode]
    if 0 in input.shape[:1] or 0 in grid.shape:
        return filled(input.network, (*input.shape[:2], *grid.shape[1:-1]), 0, input.dtype)
    documented = align_corners or outside is not SampleMode.REFLECT
    if input.rank == 4 and documented and mode is not InterpolationMode.CUBIC:
        layer = GridSample(
            interpolation_mode=mode, align_corners=align_corners, sample_mode=outside
        )
        return layer(input, grid)
    if input.rank == 5 and mode is InterpolationMode.CUBIC:
        raise ConversionError(
            explain(f"bicubic sampling of a volume, {input}", fix="use 'bilinear' or 'nearest'")
        )
    return _gathered(input, grid, mode, outside, align_corners)


def _gathered(
    x: Tensor, grid: Tensor, mode: InterpolationMode, outside: SampleMode, align: bool
) -> Tensor:
    """The weighted sum of the elements around each point, in float32."""
    batch, channels, *sizes = x.shape
    count = math.prod(grid.shape[1:-1])
    points = grid.cast(DType.FLOAT32).reshape(batch, count, len(sizes))
    axes = [
        _taps(select(points, 2, i), size, mode, outside, align)
        for i, size in zip(reversed(range(len(sizes))), sizes, strict=True)
    ]
    flat = x.reshape(batch, channels, math.prod(sizes))
    total: Tensor | None = None
    for taps in product(*axes):
        index, weight = taps[0]
        for (i, w), size in zip(taps[1:], sizes[1:], strict=True):
            index, weight = index * size + i, weight * w
        part = Gather(axis=2, elementwise_dims=1)(flat, index.cast(DType.INT32))
        part = part.cast(DType.FLOAT32) * Unsqueeze(axes=(1,))(weight)
        total = part if total is None else total + part
    assert total is not None
    return total.cast(x.dtype).reshape(batch, channels, *grid.shape[1:-1])


def _taps(
    point: Tensor, size: Dim, mode: InterpolationMode, outside: SampleMode, align: bool
) -> list[tuple[Tensor, Tensor]]:
    """Along one axis: the indices that are read, as floats, and their weights."""
    at = (point + 1) * 0.5 * (size - 1) if align else ((point + 1) * size - 1) * 0.5
    if mode is InterpolationMode.CUBIC:
        low = Unary(op=UnaryOperation.FLOOR)(at)
        fraction = at - low
        return [
            _inside(low + tap, _cubic(fraction, tap), size, outside, align) for tap in (-1, 0, 1, 2)
        ]
    # Mirrored or clamped first, the point needs no more than its neighbours.
    at = _limited(at, size, outside, align)
    if mode is InterpolationMode.NEAREST:
        near = Unary(op=UnaryOperation.ROUND)(at)
        return [_inside(near, _constant(near, 1.0), size, outside, align)]
    low = Unary(op=UnaryOperation.FLOOR)(at)
    fraction = at - low
    return [
        _inside(low, 1 - fraction, size, outside, align),
        _inside(low + 1, fraction, size, outside, align),
    ]


def _constant(x: Tensor, value: float) -> Tensor:
    """``value`` in x's shape and dtype."""
    return filled(x.network, x.shape, value, x.dtype)


def _inside(
    at: Tensor, weight: Tensor, size: Dim, outside: SampleMode, align: bool
) -> tuple[Tensor, Tensor]:
    """An index that can be read, and the weight, which is 0 where FILL reads nothing."""
    at = _limited(at, size, outside, align)
    if outside is SampleMode.FILL:
        weight = where((at >= 0) & (at <= size - 1), weight, 0.0)
    return minimum(maximum(at, 0), size - 1), weight


def _limited(at: Tensor, size: Dim, outside: SampleMode, align: bool) -> Tensor:
    """Coordinates brought into the image: clamped or mirrored, or left outside for FILL."""
    if outside is SampleMode.FILL:
        return at
    if outside is SampleMode.REFLECT:
        low = 0.0 if align else -0.5
        span = size - 1 if align else size
        if span == 0:
            return _constant(at, 0.0)
        from_low = at - low
        from_low = where(from_low < 0, -from_low, from_low)
        turns = Unary(op=UnaryOperation.FLOOR)(from_low / span)
        extra = from_low - turns * span
        odd = (turns - Unary(op=UnaryOperation.FLOOR)(turns * 0.5) * 2).equal(1)
        at = where(odd, span - extra, extra) + low
    return minimum(maximum(at, 0), size - 1)


def _cubic(fraction: Tensor, tap: int) -> Tensor:
    """The weight of the element at ``tap`` for a point at ``fraction`` (Keys, 1981; a = -0.75)."""
    a = -0.75
    d = fraction - tap if tap <= 0 else tap - fraction
    if tap in (0, 1):
        return ((a + 2) * d - (a + 3)) * d * d + 1
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a


@converter(aten.affine_grid_generator.default)
def affine_grid_generator(
    net: Network, theta: Tensor, size: Sequence[Dim], align_corners: bool
) -> Tensor:
    """``theta @ (x, y, 1)`` at each place: ``(N, k, k + 1) -> (N, *S, k)``, without a matrix unit.

    Its 10 bits of TF32 would move the points of a large image by elements.
    """
    spatial = len(size) - 2
    ones = [1] * spatial
    rows = theta.reshape(theta.shape[0], *ones, spatial, spatial + 1)
    grid = select(rows, -1, spatial)
    for i, count in enumerate(size[2:]):
        place: list[Dim] = [1, *ones, 1]
        place[1 + i] = count
        steps = _steps(net, count, align_corners).cast(theta.dtype).reshape(*place)
        grid = grid + select(rows, -1, spatial - 1 - i) * steps
    return grid


def _steps(net: Network, count: Dim, align_corners: bool) -> Tensor:
    """``count`` places from -1 to 1, of the outermost middles or edges; float32 ``(count,)``."""
    doubled = iota(net, count) * 2 - (count - 1)
    steps: Tensor = doubled / (maximum(net.size(count) - 1, 1) if align_corners else count)
    return steps
