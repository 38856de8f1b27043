"""Rows of RotaryEmbedding: numpy in complex128, a pair being one number."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.cases.base import LayerCase, f16, f32, i32, i64
from trtdsl.ir.rotary_embedding import RotaryEmbedding


def row(*inputs: torch.Tensor, interleaved: bool = False, dim: int = 0, **given: Any) -> LayerCase:
    def reference(
        x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *positions: torch.Tensor
    ) -> torch.Tensor:
        values = x.double().numpy().copy()
        factors = cos.double().numpy() + 1j * sin.double().numpy()
        half = factors.shape[-1]
        for b, n, s in np.ndindex(*x.shape[:3]):
            factor = factors[int(positions[0][b, s])] if positions else factors[b, s]
            head = values[b, n, s]
            first = range(0, 2 * half, 2) if interleaved else range(half)
            for i, place in enumerate(first):
                other = place + (1 if interleaved else half)
                turned = (head[place] + 1j * head[other]) * factor[i]
                head[place], head[other] = turned.real, turned.imag
        return torch.from_numpy(values).to(x.dtype)

    layer = RotaryEmbedding(interleaved=interleaved, rotary_embedding_dim=dim)
    return LayerCase(layer, inputs, reference, **given)


X, COS, SIN = f32(2, 3, 5, 8), f32(2, 5, 4), f32(2, 5, 4, seed=1)
SIZES = {(0, 0): "b", (0, 2): "s", (1, 0): "b", (1, 1): "s", (2, 0): "b", (2, 1): "s"}

CASES = [
    row(X, COS, SIN, symbolic=SIZES),
    row(X, COS, SIN, interleaved=True, symbolic=SIZES),
    row(X, f32(2, 5, 2), f32(2, 5, 2, seed=1), dim=4),
    row(X, f32(2, 5, 3), f32(2, 5, 3, seed=1), dim=6, interleaved=True),
    row(X, f32(9, 4), f32(9, 4, seed=1), i64(2, 5, low=0, high=9), constants=(1, 2)),
    row(X, f32(9, 1), f32(9, 1, seed=1), i32(2, 5, low=0, high=9), dim=2,
        symbolic={(0, 0): "b", (0, 2): "s", (3, 0): "b", (3, 1): "s"}),
    row(X.half(), f16(2, 5, 4), f16(2, 5, 4, seed=1), tolerance=2e-3),
]  # fmt: skip
