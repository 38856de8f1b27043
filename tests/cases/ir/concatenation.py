"""Rows of ``Concatenation``: numpy says what is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, byte, f16, f32, i64
from trtdsl.ir.concatenation import Concatenation


def join(axis: int) -> Callable[..., torch.Tensor]:
    return lambda *x: torch.from_numpy(np.concatenate([v.numpy() for v in x], axis))


CASES = [
    LayerCase(
        Concatenation(axis=1),
        (f32(2, 3, 4), f32(2, 1, 4), f32(2, 2, 4)),
        join(1),
        symbolic={(0, 1): "a", (1, 1): "b", (0, 0): "n", (1, 0): "n", (2, 0): "n"},
    ),
    LayerCase(Concatenation(axis=0), (i64(3), i64(2)), join(0)),
    LayerCase(Concatenation(axis=3), (boolean(1, 2, 1, 2), boolean(1, 2, 1, 3)), join(3)),
    LayerCase(Concatenation(axis=2), (f16(1, 2, 2), f16(1, 2, 1)), join(2), constants=(1,)),
    LayerCase(Concatenation(axis=0), (f32(2, 2),), lambda x: x),
    LayerCase(Concatenation(axis=0), (byte(2, 3), byte(1, 3)), join(0)),
]
