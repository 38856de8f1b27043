"""Converters of interpolation: ``upsample_*`` by size and by scale, with and without antialiasing.

TensorRT takes coordinates from the sizes of input and output. So does PyTorch, unless it is given a scale
that is not their exact ratio (7 elements by 1.5 are 10, and 10 / 7 is not 1.5): such an axis is resized by
what the operator does to the axis' unit vectors, a matrix, or to its indices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

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
from trtdsl.types import Dim, DType, Shape, is_static

__all__: list[str] = []

aten = torch.ops.aten

Sizes = Sequence[Dim] | None
Factors = Sequence[float | None] | None

_ALIGNED = Resize(
    mode=InterpolationMode.LINEAR,
    coordinate_transformation=ResizeCoordinateTransformation.ALIGN_CORNERS,
    selector_for_single_pixel=ResizeSelector.UPPER,
)
