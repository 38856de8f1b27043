"""Rows of the Select layer."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, boolean, byte, f16, f32, i32, i64
from trtdsl.ir.select import Select


def choose(condition: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``c * x + (1 - c) * y`` in the inputs' dtype."""
    where = condition.to(x.dtype)
    return where * x + (1 - where) * y


CASES = [
    LayerCase(
        Select(),
        (boolean(2, 3, 4), f32(2, 3, 4), f32(2, 3, 4, seed=1)),
        choose,
        symbolic={(0, 0): "n", (1, 0): "n", (2, 0): "n"},
    ),
    LayerCase(Select(), (boolean(1, 4, 1), f32(3, 1, 1), f32(1, 1, 5)), choose),
    LayerCase(Select(), (boolean(3), f16(3), f16(3, seed=1)), choose),
    LayerCase(Select(), (boolean(3, 4), i64(3, 4), i64(1, 1)), choose),
    LayerCase(Select(), (boolean(3, 4), i32(3, 4), i32(3, 1)), choose),
    LayerCase(
        Select(),
        (boolean(3, 4), boolean(3, 4, seed=1), boolean(3, 4, seed=2)),
        lambda c, x, y: (c & x) | (~c & y),
    ),
    LayerCase(Select(), (boolean(3, 4), byte(3, 4), byte(1, 4, seed=1)), choose),
]
