"""Rows of maximum and average pooling."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, byte, f16, f32, i32, i64

aten = torch.ops.aten


class First:
    """An operator of several results, called for the first of them."""

    def __init__(self, operator: Any) -> None:
        self.operator = operator

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.operator(*args, **kwargs)[0]

    def __str__(self) -> str:
        return str(self.operator)


N = {(0, 0): "n"}
NHW = {(0, 0): "n", (0, 2): "h", (0, 3): "w"}


def unpooled(x: torch.Tensor) -> torch.Tensor:
    """As SegNet does: what was pooled goes back to where it was."""
    pooled, indices = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
    return torch.nn.functional.max_unpool2d(pooled * 2, indices, 2)


MAXIMUM = [
    Case(aten.max_pool1d.default, f32(2, 3, 9), [3]),
    Case(aten.max_pool1d.default, f32(2, 3, 9), [3], [2], [1], [1], True, dynamic=N),
    Case(aten.max_pool1d.default, f32(3, 9), [2], [1], [1], [2]),
    Case(aten.max_pool2d.default, f32(2, 3, 7, 8), [2, 2], dynamic=NHW),
    Case(aten.max_pool2d.default, f32(2, 3, 7, 8), [3], [2], [1]),
    Case(aten.max_pool2d.default, f32(2, 3, 7, 8), [3, 3], [2, 2], [1, 1], dynamic=NHW),
    Case(aten.max_pool2d.default, f32(2, 3, 8, 8), [3, 3], [2, 2], [0, 0], [1, 1], True,
         dynamic=N),
    Case(aten.max_pool2d.default, f32(2, 3, 8, 7), [2, 2], [1, 1], [0, 0], [1, 1], True),
    Case(aten.max_pool2d.default, f32(1, 2, 6, 7) - 9, [5, 5], [1, 1], [2, 2], dynamic=NHW),
    # A last window would begin in the padding, and TensorRT would keep it.
    Case(aten.max_pool2d.default, f32(1, 2, 5, 4), [2, 2], [2, 2], [1, 1], [1, 1], True),
    Case(aten.max_pool2d.default, f32(1, 2, 8, 9), [2, 1], [3, 2], [1, 0], [1, 1], True),
    Case(aten.max_pool2d.default, f32(2, 3, 9, 8), [3, 2], [2, 1], [1, 1], [2, 3]),
    Case(aten.max_pool2d.default, f32(2, 3, 9, 8), [3, 3], [2, 2], [1, 0], [2, 2], True, dynamic=N),
    Case(aten.max_pool2d.default, f32(2, 3, 9, 8), [3, 2], [2, 1], [1, 1], [2, 3], dynamic=NHW),
    Case(aten.max_pool2d.default, f32(2, 3, 9, 8) - 9, [3, 2], [1, 2], [1, 0], [2, 1], True,
         dynamic=NHW),
    Case(aten.max_pool2d_with_indices.default, f32(2, 3, 9, 8), [2, 2], [1, 1], [1, 1], [2, 2],
         dynamic=NHW),
    Case(aten.max_pool2d.default, i64(2, 3, 7, 8) - 50, [3, 3], [2, 2], [1, 1], dynamic=NHW),
    Case(aten.max_pool2d.default, i32(2, 3, 7, 8) - 50, [3, 2], [2, 2], [1, 0], [1, 1], True),
    Case(aten.max_pool2d.default, i64(2, 3, 9, 8) - 50, [3, 2], [2, 1], [1, 1], [2, 3]),
    Case(aten.max_pool3d.default, i64(1, 2, 4, 6, 6), [1, 3, 3], [1, 2, 2], [0, 1, 1]),
    Case(aten.max_pool2d_with_indices.default, i64(2, 3, 7, 8), [3, 3], [2, 2], [1, 1]),
    Case(aten.max_pool2d.default, f32(3, 7, 8), [2, 2]),
    Case(aten.max_pool2d.default, f16(2, 3, 6, 6), [2, 2]),
    Case(aten.max_pool3d.default, f32(1, 2, 4, 6, 6), [1, 3, 3], [1, 2, 2], [0, 1, 1]),
    Case(aten.max_pool3d.default, f32(1, 2, 5, 5, 5), [2], [2], [0], [1], True, dynamic=N),
    Case(First(aten.max_pool1d_with_indices.default), f32(2, 3, 9), [3], [2]),
    Case(First(aten.max_pool2d_with_indices.default), f32(2, 3, 7, 8), [3, 3], [2, 2], [1, 1]),
    Case(First(aten.max_pool3d_with_indices.default), f32(1, 2, 4, 6, 6), [2, 2, 2]),
    Case(aten.max_pool1d_with_indices.default, f32(3, 9), [3], [2], [1]),
    Case(
        aten.max_pool2d_with_indices.default,
        *(f32(2, 3, 7, 8), [3, 2], [2, 2], [1, 0]),
        dynamic={(0, 0): "batch", (0, 2): "height"},
    ),
    Case(
        aten.max_pool2d_with_indices.default,
        *(f32(2, 3, 8, 7), [3, 3], [2, 2], [1, 1], [1, 1], True),
    ),
    Case(aten.max_pool2d_with_indices.default, f32(2, 3, 9, 9), [2, 3], [1, 2], [0, 1], [2, 1]),
    Case(aten.max_pool2d_with_indices.default, f32(2, 3, 8, 8).relu(), [2, 2]),
    Case(
        aten.max_pool3d_with_indices.default,
        *(f32(1, 2, 4, 6, 6), [2, 2, 2], [1, 2, 2], [1, 0, 1]),
    ),
    Case(unpooled, f32(2, 3, 6, 8), dynamic={(0, 0): "batch"}),
]  # fmt: skip

AVERAGE = [
    Case(aten.avg_pool1d.default, f32(2, 3, 9), [2]),
    Case(aten.avg_pool1d.default, f32(2, 3, 9), [4], [3], [2], True, False),
    Case(aten.avg_pool1d.default, f32(3, 9), [3], [2], [1], dynamic={(0, 1): "l"}),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 8), [2, 2], [2, 2], dynamic=NHW),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 8), [3, 3], [1, 1], [1, 1], dynamic=NHW),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 8), [3, 3], [1, 1], [1, 1], False, False,
         dynamic=NHW),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 7), [2, 2], [2, 2], [0, 0], True, False,
         dynamic=N),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 7), [2, 2], [2, 2], [0, 0], True),
    Case(aten.avg_pool2d.default, f32(2, 3, 8, 8), [3, 3], [2, 2], [1, 1], True, True, dynamic=N),
    Case(aten.avg_pool2d.default, f32(2, 3, 8, 8), [3, 3], [2, 2], [1, 1], True, False),
    Case(aten.avg_pool2d.default, f32(2, 3, 5, 5), [2, 2], [2, 2], [1, 1], True, True),
    Case(aten.avg_pool2d.default, f32(2, 3, 6, 5), [2, 2], [2, 2], [1, 1], True, False),
    Case(aten.avg_pool2d.default, f32(2, 3, 6, 6), [1, 1], [2, 2], [0, 0], True, False),
    Case(aten.avg_pool2d.default, f32(2, 3, 6, 6), [1, 1], [2, 2], [0, 0], False, False),
    Case(aten.avg_pool2d.default, f32(2, 3, 7, 8), [3, 2], [2, 2], [1, 1], False, True, 5,
         dynamic=NHW),
    Case(aten.avg_pool2d.default, f32(2, 3, 8, 8), [3, 3], [2, 2], [1, 1], True, False, 7),
    Case(aten.avg_pool2d.default, f32(3, 6, 6), [2, 2]),
    Case(aten.avg_pool2d.default, f16(2, 3, 6, 6), [2, 2], tolerance=1e-3),
    Case(aten.avg_pool3d.default, f32(1, 2, 4, 6, 5), [2, 2, 2]),
    Case(aten.avg_pool3d.default, f32(1, 2, 5, 5, 5), [3, 3, 3], [2, 2, 2], [1, 1, 1], True, True),
    Case(aten.avg_pool3d.default, f32(1, 2, 4, 6, 5), [2, 2, 2], [2, 2, 2], [0, 0, 0], False, True,
         3),
]  # fmt: skip

BYTES = [
    Case(aten.max_pool2d.default, byte(2, 3, 7, 9), [3, 2], [2], [1], dynamic={(0, 0): "batch"}),
    Case(aten.max_pool2d_with_indices.default, byte(2, 3, 7, 9), [2, 2]),
]

CASES = MAXIMUM + AVERAGE + BYTES
