"""Rows of ``Cumulative``: numpy's cumsum says what is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, f16, f32, i32, i64
from trtdsl.ir.cumulative import Cumulative


def sums(
    axis: int, *, exclusive: bool = False, reverse: bool = False
) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor) -> torch.Tensor:
        values = np.flip(x.numpy(), axis) if reverse else x.numpy()
        wide = values.astype(np.float64) if x.is_floating_point() else values
        result = np.cumsum(wide, axis)
        if exclusive:
            zero = np.zeros_like(np.take(result, [0], axis))
            result = np.concatenate([zero, np.delete(result, -1, axis)], axis)
        result = np.flip(result, axis).copy() if reverse else result
        return torch.from_numpy(result).to(x.dtype)

    return reference


CASES = [
    LayerCase(Cumulative(axis=1), (f32(3, 13),), sums(1), symbolic={(0, 0): "b", (0, 1): "n"}),
    LayerCase(Cumulative(axis=0), (i64(8, 2, 3),), sums(0), symbolic={(0, 0): "n"}),
    LayerCase(Cumulative(axis=0), (i32(2),), sums(0)),
    LayerCase(Cumulative(axis=1, exclusive=True), (f32(2, 5),), sums(1, exclusive=True)),
    LayerCase(Cumulative(axis=1, reverse=True), (f32(2, 5, 3),), sums(1, reverse=True)),
    LayerCase(
        Cumulative(axis=0, exclusive=True, reverse=True),
        (i64(9),),
        sums(0, exclusive=True, reverse=True),
        symbolic={(0, 0): "n"},
    ),
    LayerCase(Cumulative(axis=1), (f16(2, 9),), sums(1), tolerance=2e-3),
]
