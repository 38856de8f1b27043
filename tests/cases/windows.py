"""Rows of layers/windows.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten

BATCH = {(0, 0): "batch"}
SIZES = {**BATCH, (0, 2): "height", (0, 3): "width"}
IMAGE = f32(2, 3, 6, 7)
STRIDED = [3, 2], [1, 2], [1, 0], [2, 1]


def around(x: torch.Tensor) -> torch.Tensor:
    """Patches of an image and back, as fold's divisors are made."""
    columns = torch.nn.functional.unfold(x, 3, padding=1, stride=2)
    return torch.nn.functional.fold(columns, x.shape[-2:], 3, padding=1, stride=2)


INFINITE = f32(2, 12, 4)
INFINITE[0, 1, 2] = -torch.inf

CASES = [
    Case(aten.unfold.default, f32(2, 7, 3), 1, 3, 2, dynamic={**BATCH, (0, 1): "length"}),
    Case(aten.unfold.default, f32(7), -1, 2, 1),
    Case(aten.unfold_backward.default, f32(2, 3, 3, 2), [2, 6, 3], 1, 2, 2),
    Case(aten.unfold_backward.default, f32(3, 2), [6], -1, 2, 2),
    Case(aten.unfold.default, f32(7), 0, 0, 3),
    Case(aten.unfold.default, i64(2, 5, 5), 2, 5, 1),
    Case(aten.unfold.default, f32(), 0, 1, 1),
    Case(aten.im2col.default, IMAGE, *STRIDED, dynamic=SIZES),
    Case(aten.im2col.default, IMAGE, [3, 3], [2, 1], [2, 1], [1, 2]),
    Case(aten.im2col.default, f32(3, 4, 4), [2, 2], [1, 1], [0, 0], [2, 2]),
    Case(aten.im2col.default, boolean(3, 4, 4), [2, 2], [1, 1], [0, 0], [2, 2]),
    Case(aten.col2im.default, INFINITE, [4, 4], [2, 2], [1, 1], [0, 0], [2, 2]),
    Case(aten.col2im.default, f32(2, 12, 9), [4, 4], [2, 2], [1, 1], [0, 0], [1, 1]),
    Case(aten.col2im.default, f32(2, 12, 4), [4, 4], [2, 2], [1, 1], [0, 0], [2, 2], dynamic=BATCH),
    Case(aten.col2im.default, f32(2, 18, 15), [6, 7], *STRIDED, dynamic=BATCH),
    Case(aten.col2im.default, f32(18, 15), [6, 7], *STRIDED),
    Case(aten.col2im.default, f32(2, 9, 6), [6, 8], [3, 3], [2, 1], [1, 0], [2, 2]),
    Case(aten.col2im.default, f16(2, 9, 9), [5, 6], [3, 3], [1, 1], [1, 1], [2, 2], tolerance=2e-3),
    Case(around, IMAGE, dynamic=BATCH),
]
