"""Rows of Attention: numpy in float64, one query of one head at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, f16, f32
from trtdsl.ir.attention import Attention


def reference(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None = None,
    attending: torch.Tensor | None = None,
    *,
    causal: bool = False,
) -> torch.Tensor:
    q, k, v = (x.double().numpy() for x in (query, key, value))
    batch, heads, length, _ = q.shape
    y = np.empty((batch, heads, length, v.shape[3]))
    for b, n, i in np.ndindex(batch, heads, length):
        group = n // (heads // k.shape[1])
        scores = k[b, group] @ q[b, n, i]
        allowed = np.arange(k.shape[2]) <= i if causal else np.ones(k.shape[2], bool)
        if mask is not None:
            own = mask[b % len(mask), n % mask.shape[1], i].numpy()
            allowed = own if own.dtype == bool else allowed
            scores = scores if own.dtype == bool else scores + own
        if attending is not None and not torch.broadcast_to(attending, y.shape)[b, n, i, 0]:
            y[b, n, i] = 0
            continue
        weights = np.exp(scores[allowed] - scores[allowed].max())
        y[b, n, i] = weights / weights.sum() @ v[b, group][allowed]
    return torch.from_numpy(y).to(query.dtype)


def row(*inputs: torch.Tensor, causal: bool = False, **given: Any) -> LayerCase:
    def of_inputs(*values: torch.Tensor) -> torch.Tensor:
        return reference(*values, causal=causal)

    return LayerCase(Attention(causal=causal), inputs, of_inputs, **given)


Q, K, V = f32(2, 4, 3, 8), f32(2, 4, 5, 8), f32(2, 4, 5, 8, seed=1)
ALLOWED = boolean(2, 1, 3, 5)
ALLOWED[..., 2] = True
BLOCKED = torch.zeros(1, 4, 3, 5).masked_fill(~ALLOWED[:1], -torch.inf)
LENGTHS = {(0, 2): "l", (1, 2): "s", (2, 2): "s"}

SOME = boolean(2, 1, 3, 5, seed=2)
SOME[0, 0, 1] = False
LAST = ALLOWED.clone()
LAST[0] = False  # the queries of the first of a batch

CASES = [
    row(Q, K, V, symbolic={(0, 0): "n", (1, 0): "n", (2, 0): "n", **LENGTHS}),
    row(Q, K, V, ALLOWED, symbolic={**LENGTHS, (3, 2): "l", (3, 3): "s"}),
    row(Q, K, V, boolean(2, 4, 3, 5, seed=1) | ALLOWED),
    row(Q, K, V, ALLOWED[:1], constants=(3,)),
    row(Q, K, V, SOME, SOME.any(3, keepdim=True), symbolic={**LENGTHS, (3, 2): "l", (3, 3): "s"}),
    row(Q, K, V, LAST, LAST.any(3, keepdim=True)[:, :, :1].contiguous()),
    row(Q.half(), K.half(), V.half(), SOME, SOME.any(3, keepdim=True), tolerance=2e-3),
    row(Q, K, V, f32(2, 4, 3, 5) * 3),
    row(Q, K, V, BLOCKED),
    row(Q, K, V, torch.finfo(torch.float32).min * (~ALLOWED).float()),
    row(Q, K, V, causal=True, symbolic=LENGTHS),
    row(Q, f32(2, 4, 2, 8), f32(2, 4, 2, 8, seed=1), causal=True),
    row(Q, f32(2, 2, 5, 8), f32(2, 2, 5, 8, seed=1)),
    row(Q, f32(2, 1, 5, 8), f32(2, 1, 5, 8, seed=1), ALLOWED, symbolic={(0, 0): "n", (3, 0): "n"}),
    row(Q, K, f32(2, 4, 5, 6)),
    row(Q.half(), K.half(), V.half(), tolerance=2e-3),
    row(Q.half() * 8, K.half() * 8, V.half(), ALLOWED, tolerance=4e-3),
    row(Q.half(), K.half(), V.half(), f16(1, 1, 3, 5), tolerance=2e-3),
    row(f16(1, 2, 3, 8), f16(1, 2, 3, 8), f16(1, 2, 3, 8, seed=1), causal=True, tolerance=2e-3),
]
