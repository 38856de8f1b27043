"""Rows of layers/distance.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, f16, f32

aten = torch.ops.aten

P, R = f32(2, 5, 3), f32(2, 4, 3)
NORMS = (0.0, 0.5, 1.0, 2.0, 3.0, math.inf)
BATCH = {(0, 0): "batch", (1, 0): "batch"}
SPARSE = torch.tensor([[1.0, 2.0, 0.0], [1.0, 0.0, 0.0]]).repeat(2, 1)

CASES = [
    *(Case(aten.cdist.default, P, R, p) for p in NORMS),
    *(Case(aten._cdist_forward.default, P, R, p, 0) for p in NORMS),
    *(Case(aten._cdist_forward.default, P, R, 2.0, mode) for mode in (None, 0, 1, 2)),
    Case(aten.cdist.default, SPARSE, SPARSE[:3], 0.0),
    Case(aten.cdist.default, P, R, 2.0, 2, dynamic={**BATCH, (0, 1): "p", (1, 1): "r"}),
    Case(
        aten.cdist.default,
        *(f32(2, 30, 3), f32(2, 28, 3, seed=1) + 4, 2.0),
        dynamic={**BATCH, (0, 1): "p", (1, 1): "r"},
    ),
    Case(aten.cdist.default, f32(40, 8), f32(30, 8, seed=1)),
    Case(aten.cdist.default, f32(3, 1, 4, 2), f32(5, 6, 2)),
    Case(aten.cdist.default, P, f32(4, 3), 1.0, dynamic={(0, 0): "batch"}),
    Case(aten.cdist.default, f32(2, 0, 3), R),
    Case(aten.cdist.default, f32(2, 5, 0), f32(2, 4, 0)),
    Case(aten.cdist.default, f16(2, 5, 3).float(), R, 2.0, 1),
    *(Case(aten.pdist.default, f32(5, 3), p) for p in NORMS),
    Case(aten._pdist_forward.default, f32(5, 3), 2.0),
    Case(aten._pdist_forward.default, f32(1, 3)),
    Case(aten._pdist_forward.default, f32(4, 0)),
    *(Case(aten.dist.default, P, R[:, :1], p) for p in (*NORMS, -math.inf)),
    Case(aten.dist.default, f32(0), f32(0)),
    Case(aten.dist.default, torch.tensor(2.0), torch.tensor(-1.5), 3),
    Case(aten.dist.default, torch.tensor(2.0), torch.tensor(2.0), 0),
    Case(torch.nn.functional.pairwise_distance, P, R[:, :1], dynamic=BATCH),
    Case(torch.nn.functional.cosine_similarity, P, R[:, :1], -1, dynamic=BATCH),
]
