"""Cumulative maximum and minimum with their places.

``trtdsl.layers.scan`` does the same in log2(n) steps of TensorRT's own layers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.layers import scan
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "RunningExtreme", "cummax", "cummin"]


@dataclass(frozen=True, kw_only=True)
class RunningExtreme(Plugin, kernel="running_extreme.cu"):
    """The largest (or smallest) element so far along an axis, and the last place where it stands.

    Input: x of floats or integers. Outputs: the values, of x's shape and dtype, and their places
    along the axis, int64. NaN is larger and smaller than all else, as in PyTorch. A line of n
    elements is scanned in about ``sqrt(n)`` pieces at once. Exact.
    Errors: ShapeError. Source: aten::cummax, aten::cummin.
    """

    axis: int
    largest: bool = True

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        self.require(0 <= self.axis < x.rank, f"axis {self.axis} is none of {x}")
        self.require(x.dtype is not DType.BOOL, f"takes numbers, not {x}")
        return x, x.with_dtype(DType.INT64)

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values, places = (torch.cummax if self.largest else torch.cummin)(x, self.axis)
        return values, places

    def workspace(self, x: TensorType) -> int:
        size = x.shape[self.axis]
        pieces = math.isqrt(size) + 2  # at least as many as of any smaller size
        return int(4 * (x.volume // size) * max(pieces, 16))

    def launch(
        self, x: Buffer, values: Buffer, places: Buffer, *, workspace: Buffer | None
    ) -> tuple[Launch, ...]:
        size, inner = x.shape[self.axis], math.prod(x.shape[self.axis + 1 :])
        lines, (length, pieces) = x.volume // size, _cut(size)
        sizes = size, inner, length, pieces, self.largest
        count = lines * pieces
        return (
            per_element("of_pieces", count, x, workspace, *sizes),
            per_element("of_lines", lines, x, workspace, size, inner, pieces, self.largest),
            per_element("of_elements", count, x, workspace, values, places, *sizes),
        )


def _cut(size: int) -> tuple[int, int]:
    """The length of the pieces that a line is scanned in, and how many there are."""
    length = max(16, math.isqrt(size))
    return length, -(-size // length)


def cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``aten::cummax``: values, and int64 places along ``dim``."""
    return _extreme(x, dim, largest=True)


def cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """``aten::cummin``: values, and int64 places along ``dim``."""
    return _extreme(x, dim, largest=False)


def _extreme(x: Tensor, dim: int, *, largest: bool) -> tuple[Tensor, Tensor]:
    if x.rank == 0 or 0 in x.shape or x.dtype is DType.BOOL:
        values, places = scan.cummax(x, dim) if largest else scan.cummin(x, dim)
        return values, places
    values, places = RunningExtreme(axis=dim % x.rank, largest=largest).outputs(x)
    return values, places


CONVERTERS = {torch.ops.aten.cummax.default: cummax, torch.ops.aten.cummin.default: cummin}
