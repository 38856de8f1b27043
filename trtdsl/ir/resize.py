"""``Resize``: interpolation to another size, by the nearest element, linear or cubic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.detour import detour
from trtdsl.types import Dim, DType, Shape, TensorType, as_dim, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = [
    "InterpolationMode",
    "Resize",
    "ResizeCoordinateTransformation",
    "ResizeRoundMode",
    "ResizeSelector",
]


class InterpolationMode(Enum):
    """What a value is made of. Source: tensorrt.InterpolationMode."""

    NEAREST = auto()
    """One element; along at most 8 axes."""
    LINEAR = auto()
    """The two elements around it along each of at most 3 axes."""
    CUBIC = auto()
    """The four elements around it along each of at most 2 axes."""


class ResizeCoordinateTransformation(Enum):
    """Where in x an index i of y lies. Source: tensorrt.ResizeCoordinateTransformation."""

    ALIGN_CORNERS = auto()
    """``i * (size_x - 1) / (size_y - 1)``"""
    ASYMMETRIC = auto()
    """``i * size_x / size_y``"""
    HALF_PIXEL = auto()
    """``(i + 0.5) * size_x / size_y - 0.5``"""


class ResizeSelector(Enum):
    """Where the one element lies when y has size 1. Source: tensorrt.ResizeSelector."""

    FORMULA = auto()
    """Where the coordinate transformation says."""
    UPPER = auto()
    """At index 0."""


class ResizeRoundMode(Enum):
    """Which element is the nearest to a coordinate. Source: tensorrt.ResizeRoundMode."""

    HALF_UP = auto()
    HALF_DOWN = auto()
    FLOOR = auto()
    CEIL = auto()


_AXES = {InterpolationMode.NEAREST: 8, InterpolationMode.LINEAR: 3, InterpolationMode.CUBIC: 2}
_TAPS = {InterpolationMode.LINEAR: (0, 1), InterpolationMode.CUBIC: (-1, 0, 1, 2)}


@dataclass(frozen=True, kw_only=True)
class Resize(Layer):
    """x at other sizes of its innermost axes: ``shape``, or ``floor(size * scale)`` by ``scales``.

    Inputs: x float; sizes that stay are given in ``shape`` too, or as scales of 1. Either way the
    coordinates come from the scales, or without them from the two sizes. Elements beyond the border
    repeat the border; with ``exclude_outside`` they have no weight and the others sum to 1.
    Source: add_resize.
    """

    mode: InterpolationMode = InterpolationMode.NEAREST
    shape: tuple[Dim, ...] | None = None
    scales: tuple[float, ...] | None = None
    coordinate_transformation: ResizeCoordinateTransformation = (
        ResizeCoordinateTransformation.ASYMMETRIC
    )
    selector_for_single_pixel: ResizeSelector = ResizeSelector.FORMULA
    nearest_rounding: ResizeRoundMode = ResizeRoundMode.FLOOR
    cubic_coeff: float = -0.75
    exclude_outside: bool = False

    def infer(self, x: TensorType) -> TensorType:
        self.require_floats(x)
        self.require(
            (self.shape is None) != (self.scales is None), "takes a shape or scales, one of the two"
        )
        shape = self._shape(x.shape)
        self.require(len(shape) == x.rank, f"{len(shape)} sizes are given for {x}")
        outer = x.rank - _AXES[self.mode]
        for axis, sizes in enumerate(zip(x.shape, shape, strict=True)):
            kept = not is_static(sizes) or sizes[0] == sizes[1]
            self.require(axis >= outer or kept, f"cannot resize axis {axis} of {x} to {sizes[1]}")
            some = sizes[1] != 0 and (sizes[0] != 0 or kept)
            self.require(some, f"axis {axis} of {x} cannot become {sizes[1]}")
        return x.with_shape(shape)

    def _shape(self, sizes: Shape) -> Shape:
        if self.shape is not None:
            return self.shape
        assert self.scales is not None
        self.require(len(self.scales) == len(sizes), f"{len(self.scales)} scales for sizes {sizes}")
        return tuple(
            size if scale == 1 else _scaled(size, scale)
            for size, scale in zip(sizes, self.scales, strict=True)
        )

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        result = x
        half = x.dtype in (torch.float16, torch.bfloat16)
        if half and self.mode is not InterpolationMode.NEAREST:
            result = result.float()
        for axis, size in enumerate(self._shape(tuple(x.shape))):
            if size != x.shape[axis] or (self.scales and self.scales[axis] != 1):
                result = self._resized(result, axis, size)
        return result.to(x.dtype)

    def _resized(self, x: torch.Tensor, axis: int, size: int) -> torch.Tensor:
        """x with another size of one axis; the weights of several axes multiply."""
        at = self._coordinates(x, axis, size)
        last = x.shape[axis] - 1
        if self.mode is InterpolationMode.NEAREST:
            return x.index_select(axis, self._rounded(at).clamp(0, last).long())
        base = at.floor()
        taps = [base.long() + tap for tap in _TAPS[self.mode]]
        weights = [self._weight((at - tap).abs()) for tap in taps]
        if self.exclude_outside:
            inside = [w * ((t >= 0) & (t <= last)) for w, t in zip(weights, taps, strict=True)]
            weights = [w / sum(inside) for w in inside]
        after = [1] * (x.dim() - axis - 1)
        parts = [
            x.index_select(axis, tap.clamp(0, last)) * weight.to(x.dtype).view(-1, *after)
            for tap, weight in zip(taps, weights, strict=True)
        ]
        total: torch.Tensor = sum(parts[1:], parts[0])
        return total

    def _coordinates(self, x: torch.Tensor, axis: int, new: int) -> torch.Tensor:
        """Where in x each index of the new axis lies, in float32 as TensorRT computes it."""
        import torch

        index = torch.arange(new, dtype=torch.float32, device=x.device)
        if new == 1 and self.selector_for_single_pixel is ResizeSelector.UPPER:
            return index
        old = x.shape[axis]
        ratio = torch.tensor(old, dtype=torch.float32, device=x.device) / new
        if self.scales is not None:
            ratio = 1 / torch.tensor(self.scales[axis], dtype=torch.float32, device=x.device)
        match self.coordinate_transformation:
            case ResizeCoordinateTransformation.ALIGN_CORNERS:
                return index * (torch.tensor(old - 1.0, device=x.device) / max(new - 1, 1))
            case ResizeCoordinateTransformation.ASYMMETRIC:
                return index * ratio
            case ResizeCoordinateTransformation.HALF_PIXEL:
                return (index + 0.5) * ratio - 0.5

    def _rounded(self, at: torch.Tensor) -> torch.Tensor:
        match self.nearest_rounding:
            case ResizeRoundMode.HALF_UP:
                return (at + 0.5).floor()
            case ResizeRoundMode.HALF_DOWN:
                return (at - 0.5).ceil()
            case ResizeRoundMode.FLOOR:
                return at.floor()
            case ResizeRoundMode.CEIL:
                return at.ceil()

    def _weight(self, d: torch.Tensor) -> torch.Tensor:
        """The weight of an element at a distance. Source: IResizeLayer::setCubicCoeff."""
        import torch

        if self.mode is InterpolationMode.LINEAR:
            return 1 - d
        a = self.cubic_coeff
        near = ((a + 2) * d - (a + 3)) * d * d + 1
        far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        return torch.where(d <= 1, near, torch.where(d < 2, far, 0.0))

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        # TensorRT resizes float32, float16 and int8. Source: NVIDIA's nvtripy, resize.
        return x.dtype is not DType.BFLOAT16

    def expand(self, x: Tensor) -> Any:
        """bfloat16 by way of float32."""
        return detour(self, (x,), around=DType.BFLOAT16)

    def lower(self, api: Api, x: Any) -> Any:
        layer = api.add_resize(x)
        layer.resize_mode = api.enum("InterpolationMode", self.mode)
        layer.coordinate_transformation = api.enum(
            "ResizeCoordinateTransformation", self.coordinate_transformation
        )
        layer.selector_for_single_pixel = api.enum("ResizeSelector", self.selector_for_single_pixel)
        if self.mode is InterpolationMode.NEAREST:
            layer.nearest_rounding = api.enum("ResizeRoundMode", self.nearest_rounding)
        if self.mode is InterpolationMode.CUBIC:
            layer.cubic_coeff = self.cubic_coeff
        layer.exclude_outside = self.exclude_outside
        if self.scales is not None:
            layer.scales = list(self.scales)
        elif self.shape is not None:
            self._lower_shape(api, layer, self.shape)
        return layer

    def _lower_shape(self, api: Api, layer: Any, shape: Shape) -> None:
        if is_static(shape):
            layer.shape = shape
        else:
            layer.set_input(1, api.shape_tensor(shape))


def _scaled(size: Dim, scale: float) -> Dim:
    """``floor(size * scale)``."""
    if isinstance(size, int):
        return math.floor(size * scale)
    import sympy

    return as_dim(sympy.floor(size * sympy.Rational(scale)))
