"""Converters of interpolation: ``upsample_*`` by size and by scale, with and without antialiasing.

TensorRT takes coordinates from the sizes of input and output. So does PyTorch, unless it is given
a scale that is not their exact ratio (7 elements by 1.5 are 10, and 10 / 7 is not 1.5): such an
axis is resized by a matrix, what the operator makes of the axis' unit vectors, or by the indices
that it picks. Of sizes that are not known the engine computes these.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.gather import Gather
from trtdsl.ir.resize import (
    InterpolationMode,
    Resize,
    ResizeCoordinateTransformation,
    ResizeRoundMode,
    ResizeSelector,
)
from trtdsl.network import Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim, is_static

from .creation import filled
from .resize_bytes import interpolated
from .resize_weights import antialiased, cubic, linear, nearest, scale_of

__all__: list[str] = []

aten = torch.ops.aten

_EXACT = 2**10
"""A product with a fraction of at most this denominator is not rounded: 1.5, but not 0.6."""

Sizes = Sequence[Dim] | None
Factors = Sequence[float | None] | None


@dataclass(frozen=True, kw_only=True)
class _Interpolation:
    """A way of interpolating: how TensorRT calls it, and PyTorch's operators by number of axes."""

    mode: InterpolationMode
    operators: Mapping[int, Any]
    transformation: ResizeCoordinateTransformation = ResizeCoordinateTransformation.HALF_PIXEL
    rounding: ResizeRoundMode = ResizeRoundMode.FLOOR
    is_antialiased: bool = False

    def layer(self, shape: tuple[Dim, ...], align_corners: bool) -> Resize:
        if align_corners:
            # PyTorch takes index 0 for a single element, where the formula divides by 0.
            return Resize(
                mode=self.mode,
                shape=shape,
                coordinate_transformation=ResizeCoordinateTransformation.ALIGN_CORNERS,
                selector_for_single_pixel=ResizeSelector.UPPER,
            )
        return Resize(
            mode=self.mode,
            shape=shape,
            coordinate_transformation=self.transformation,
            nearest_rounding=self.rounding,
        )

    def rows(
        self, axes: int, x: torch.Tensor, new: int, factor: float | None, *corners: bool
    ) -> torch.Tensor:
        """What the operator of so many axes makes of rows, ``(n, old) -> (n, new)``."""
        ones = [1] * (axes - 1)
        image = x.view(1, len(x), *ones, x.shape[1])
        scales = [*[None] * (axes - 1), factor]
        resized: torch.Tensor = self.operators[axes](image, [*ones, new], *corners, *scales)
        return resized.view(len(x), new)


_NEAREST = _Interpolation(
    mode=InterpolationMode.NEAREST,
    operators={
        1: aten.upsample_nearest1d.default,
        2: aten.upsample_nearest2d.default,
        3: aten.upsample_nearest3d.default,
    },
    transformation=ResizeCoordinateTransformation.ASYMMETRIC,
)
_NEAREST_EXACT = _Interpolation(
    mode=InterpolationMode.NEAREST,
    operators={
        1: aten._upsample_nearest_exact1d.default,
        2: aten._upsample_nearest_exact2d.default,
        3: aten._upsample_nearest_exact3d.default,
    },
    rounding=ResizeRoundMode.HALF_UP,
)
_LINEAR = _Interpolation(
    mode=InterpolationMode.LINEAR,
    operators={
        1: aten.upsample_linear1d.default,
        2: aten.upsample_bilinear2d.default,
        3: aten.upsample_trilinear3d.default,
    },
)
_CUBIC = _Interpolation(
    mode=InterpolationMode.CUBIC, operators={2: aten.upsample_bicubic2d.default}
)
_LINEAR_AA = _Interpolation(
    mode=InterpolationMode.LINEAR,
    operators={2: aten._upsample_bilinear2d_aa.default},
    is_antialiased=True,
)
_CUBIC_AA = _Interpolation(
    mode=InterpolationMode.CUBIC,
    operators={2: aten._upsample_bicubic2d_aa.default},
    is_antialiased=True,
)


def _resized(
    x: Tensor, how: _Interpolation, size: Sizes, factors: Factors, align_corners: bool = False
) -> Tensor:
    """x, ``(N, C, *S)``, at another size of S."""
    dtype = x.dtype
    old = x.shape[2:]
    factors = factors or [None] * len(old)
    new = size or [_scaled(n, f) for n, f in zip(old, factors, strict=True)]
    if 0 in x.shape[:2]:
        return filled(x.network, (*x.shape[:2], *new), 0, dtype)
    if how.mode is not InterpolationMode.NEAREST and not dtype.is_float:
        return _of_bytes(x, how, new, factors, align_corners)
    x = x if dtype.is_float else x.cast(DType.FLOAT32)
    if how.is_antialiased or (not align_corners and any(map(_strays, old, new, factors))):
        axes = zip(range(2, x.rank), new, factors, strict=True)
        for axis, n, factor in axes:
            x = _along(x, how, axis, n, factor, align_corners)
    elif tuple(new) != old:
        x = how.layer((*x.shape[:2], *new), align_corners)(x)
    return x.cast(dtype)


def _of_bytes(
    x: Tensor,
    how: _Interpolation,
    new: Sequence[Dim],
    factors: Sequence[float | None],
    align_corners: bool,
) -> Tensor:
    """``_resized`` of bytes, the last axis first. Errors: ConversionError for other integers."""
    if x.dtype is not DType.UINT8 or len(new) != 2 or not is_static((*x.shape[2:], *new)):
        raise ConversionError(
            explain(
                f"interpolates floats, and bytes over two axes of static sizes, not {x}",
                fix="x.float(), interpolate, round, and back",
            )
        )
    y = x.cast(DType.INT32)
    for axis in (3, 2):
        n, factor = new[axis - 2], factors[axis - 2]
        if (n, factor) != (x.shape[axis], None):
            units = torch.eye(x.shape[axis], dtype=torch.float64)
            y = interpolated(y, axis, how.rows(2, units, n, factor, align_corners))
    return y.cast(x.dtype)


def _scaled(size: Dim, factor: float | None) -> Dim:
    """``floor(size * factor)``, of a product in float64 as PyTorch has it."""
    assert factor is not None, "either a size or a factor is given"
    if isinstance(size, int):
        return math.floor(size * factor)
    exact = Fraction(factor)
    if exact.denominator <= _EXACT:
        return as_dim(size * exact.numerator // exact.denominator)
    import sympy

    return as_dim(sympy.floor(sympy.Float(factor) * size))


def _strays(old: Dim, new: Dim, factor: float | None) -> bool:
    """Whether the given factor is another one than the ratio of the sizes, in PyTorch's float32."""
    if factor is None:
        return False
    if is_static((old, new)):
        ratio = torch.tensor(float(old)) / torch.tensor(float(new))
        return bool(ratio != torch.tensor(1.0 / factor))
    return not float(factor).is_integer() or bool(new != old * int(factor))


def _along(
    x: Tensor, how: _Interpolation, axis: int, new: Dim, factor: float | None, align_corners: bool
) -> Tensor:
    """x with one axis resized exactly as PyTorch's operator does it."""
    old = x.shape[axis]
    if not is_static((old, new)):
        return _along_computed(x, how, axis, new, factor, align_corners)
    if how.mode is InterpolationMode.NEAREST:
        places = how.rows(x.rank - 2, torch.arange(float(old))[None], new, factor)
        return Gather(axis=axis)(x, x.network.constant(places[0].int()))
    matrix = how.rows(x.rank - 2, torch.eye(old), new, factor, align_corners)
    return _multiplied(x, axis, x.network.constant(matrix.mT.contiguous()))


def _along_computed(
    x: Tensor, how: _Interpolation, axis: int, new: Dim, factor: float | None, align_corners: bool
) -> Tensor:
    """The same where a size is not known before the engine runs: it computes the weights."""
    old = x.shape[axis]
    scale = scale_of(x.network, old, new, factor, align_corners)
    if how.mode is InterpolationMode.NEAREST:
        exact = how.rounding is ResizeRoundMode.HALF_UP
        return Gather(axis=axis)(x, nearest(old, new, scale, exact=exact))
    is_cubic = how.mode is InterpolationMode.CUBIC
    if how.is_antialiased:
        matrix = antialiased(old, new, scale, is_cubic=is_cubic)
    else:
        weights = cubic if is_cubic else linear
        matrix = weights(old, new, scale, align_corners=align_corners)
    return _multiplied(x, axis, matrix)


def _multiplied(x: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """``(*A, old, *B) -> (*A, new, *B)`` by a ``(new, old)`` matrix, in float32."""
    wide = x.cast(DType.FLOAT32)
    if axis == x.rank - 1:
        return (wide @ matrix.permute(1, 0)).cast(x.dtype)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    rows = wide.reshape(*before, x.shape[axis], math.prod(after))
    return (matrix @ rows).reshape(*before, matrix.shape[0], *after).cast(x.dtype)


@converter(aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec, aten.upsample_nearest3d.vec)
def upsample_nearest(input: Tensor, output_size: Sizes, scale_factors: Factors) -> Tensor:
    """``y[i] = x[floor(i / scale)]`` along every spatial axis."""
    return _resized(input, _NEAREST, output_size, scale_factors)


@converter(aten.upsample_nearest1d.default)
def upsample_nearest1d(
    x: Tensor, output_size: Sequence[Dim], scales: float | None = None
) -> Tensor:
    """``(N, C, W)``; see ``upsample_nearest``."""
    return _resized(x, _NEAREST, output_size, [scales])


@converter(aten.upsample_nearest2d.default)
def upsample_nearest2d(
    x: Tensor,
    output_size: Sequence[Dim],
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_nearest``."""
    return _resized(x, _NEAREST, output_size, [scales_h, scales_w])


@converter(aten.upsample_nearest3d.default)
def upsample_nearest3d(
    x: Tensor,
    output_size: Sequence[Dim],
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, D, H, W)``; see ``upsample_nearest``."""
    return _resized(x, _NEAREST, output_size, [scales_d, scales_h, scales_w])


@converter(
    aten._upsample_nearest_exact1d.vec,
    aten._upsample_nearest_exact2d.vec,
    aten._upsample_nearest_exact3d.vec,
)
def upsample_nearest_exact(input: Tensor, output_size: Sizes, scale_factors: Factors) -> Tensor:
    """``y[i] = x[floor((i + 0.5) / scale)]`` along every spatial axis."""
    return _resized(input, _NEAREST_EXACT, output_size, scale_factors)


@converter(aten._upsample_nearest_exact1d.default)
def upsample_nearest_exact1d(
    x: Tensor, output_size: Sequence[Dim], scales: float | None = None
) -> Tensor:
    """``(N, C, W)``; see ``upsample_nearest_exact``."""
    return _resized(x, _NEAREST_EXACT, output_size, [scales])


@converter(aten._upsample_nearest_exact2d.default)
def upsample_nearest_exact2d(
    x: Tensor,
    output_size: Sequence[Dim],
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_nearest_exact``."""
    return _resized(x, _NEAREST_EXACT, output_size, [scales_h, scales_w])


@converter(aten._upsample_nearest_exact3d.default)
def upsample_nearest_exact3d(
    x: Tensor,
    output_size: Sequence[Dim],
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, D, H, W)``; see ``upsample_nearest_exact``."""
    return _resized(x, _NEAREST_EXACT, output_size, [scales_d, scales_h, scales_w])


@converter(aten.upsample_linear1d.vec, aten.upsample_bilinear2d.vec, aten.upsample_trilinear3d.vec)
def upsample_linear(
    input: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors
) -> Tensor:
    """The two elements around a coordinate, weighted by nearness, along every spatial axis."""
    return _resized(input, _LINEAR, output_size, scale_factors, align_corners)


@converter(aten.upsample_linear1d.default)
def upsample_linear1d(
    x: Tensor, output_size: Sequence[Dim], align_corners: bool, scales: float | None = None
) -> Tensor:
    """``(N, C, W)``; see ``upsample_linear``."""
    return _resized(x, _LINEAR, output_size, [scales], align_corners)


@converter(aten.upsample_bilinear2d.default)
def upsample_bilinear2d(
    x: Tensor,
    output_size: Sequence[Dim],
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_linear``."""
    return _resized(x, _LINEAR, output_size, [scales_h, scales_w], align_corners)


@converter(aten.upsample_trilinear3d.default)
def upsample_trilinear3d(
    x: Tensor,
    output_size: Sequence[Dim],
    align_corners: bool,
    scales_d: float | None = None,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, D, H, W)``; see ``upsample_linear``."""
    return _resized(x, _LINEAR, output_size, [scales_d, scales_h, scales_w], align_corners)


@converter(aten.upsample_bicubic2d.vec)
def upsample_bicubic(
    input: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors
) -> Tensor:
    """The four elements around a coordinate, by the cubic kernel of A = -0.75, along H and W."""
    return _resized(input, _CUBIC, output_size, scale_factors, align_corners)


@converter(aten.upsample_bicubic2d.default)
def upsample_bicubic2d(
    x: Tensor,
    output_size: Sequence[Dim],
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_bicubic``."""
    return _resized(x, _CUBIC, output_size, [scales_h, scales_w], align_corners)


@converter(aten._upsample_bilinear2d_aa.vec)
def upsample_bilinear_aa(
    input: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors
) -> Tensor:
    """A triangle as wide as the reduction, along H and W; TensorRT has no antialiasing."""
    return _resized(input, _LINEAR_AA, output_size, scale_factors, align_corners)


@converter(aten._upsample_bilinear2d_aa.default)
def upsample_bilinear2d_aa(
    x: Tensor,
    output_size: Sequence[Dim],
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_bilinear_aa``."""
    return _resized(x, _LINEAR_AA, output_size, [scales_h, scales_w], align_corners)


@converter(aten._upsample_bicubic2d_aa.vec)
def upsample_bicubic_aa(
    input: Tensor, output_size: Sizes, align_corners: bool, scale_factors: Factors
) -> Tensor:
    """A cubic kernel of A = -0.5 as wide as the reduction, along H and W."""
    return _resized(input, _CUBIC_AA, output_size, scale_factors, align_corners)


@converter(aten._upsample_bicubic2d_aa.default)
def upsample_bicubic2d_aa(
    x: Tensor,
    output_size: Sequence[Dim],
    align_corners: bool,
    scales_h: float | None = None,
    scales_w: float | None = None,
) -> Tensor:
    """``(N, C, H, W)``; see ``upsample_bicubic_aa``."""
    return _resized(x, _CUBIC_AA, output_size, [scales_h, scales_w], align_corners)
