"""Rows of layers/prims.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32, i64

prims = torch.ops.prims

X = f32(2, 3, 4)
BATCH = {(0, 0): "batch"}

CASES = [
    Case(prims.div.default, X, f32(2, 3, 4, seed=1), dynamic={**BATCH, (1, 0): "batch"}),
    Case(prims.div.default, i64(3, 4), i64(3, 4, low=1)),
    Case(prims.div.default, i64(3, 4), i64(3, 4, low=-9, high=-1)),
    Case(prims.sum.default, X, [0, 2], dynamic=BATCH),
    Case(prims.convert_element_type.default, X, torch.int32),
    Case(prims.broadcast_in_dim.default, f32(3), [2, 3, 4], [1]),
    Case(prims.broadcast_in_dim.default, f32(3, 1), [2, 3, 4], [1, 2]),
    Case(
        prims.iota.default,
        5,
        kwargs={
            "start": 2,
            "step": 3,
            "dtype": torch.int32,
            "device": torch.device("cpu"),
            "requires_grad": False,
        },
    ),
]
