"""Rows of layers/fractional_pooling.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten


def pool2d(x: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    return aten.fractional_max_pool2d.default(x, [2, 3], [4, 5], samples)[0]


def pool3d(x: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    return aten.fractional_max_pool3d.default(x, [2, 1, 2], [3, 4, 1], samples)[0]


def indices(x: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    """Of whole numbers, many of which are equal."""
    return aten.fractional_max_pool2d.default((x * 2).round(), [2, 3], [4, 5], samples)[1]


def indices3d(x: torch.Tensor, samples: torch.Tensor) -> torch.Tensor:
    return aten.fractional_max_pool3d.default(x, [2, 1, 2], [3, 4, 1], samples)[1]


IMAGE, CHANCE = f32(2, 3, 9, 11), f32(2, 3, 2, low=0, high=1)
BATCH = {(0, 0): "batch", (1, 0): "batch"}

CASES = [
    Case(pool2d, IMAGE, CHANCE, dynamic=BATCH),
    Case(pool2d, IMAGE[0], CHANCE[:1]),
    Case(pool2d, IMAGE[0], CHANCE),
    Case(pool3d, f32(3, 5, 6, 7), f32(2, 3, 3, low=0, high=1)),
    Case(pool3d, f32(2, 3, 5, 6, 7), f32(2, 3, 3, low=0, high=1)),
    Case(indices, IMAGE, CHANCE, dynamic=BATCH),
    Case(indices3d, f32(3, 5, 6, 7), f32(2, 3, 3, low=0, high=1)),
]
