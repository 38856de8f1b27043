"""Rows of layers/selection.py; only integers, whose first place counts, have equal elements."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i32, i64

aten = torch.ops.aten

X = f32(3, 4, 5)
BATCH = {(0, 0): "batch"}

CASES = [
    Case(aten.argmax.default, X),
    Case(aten.argmax.default, X, None, True),
    Case(aten.argmax.default, X, 1, dynamic=BATCH),
    Case(aten.argmax.default, X, -1, True),
    Case(aten.argmax.default, f16(6), 0),
    Case(aten.argmax.default, i32(3, 40), -1),
    Case(aten.argmax.default, boolean(3, 9).int(), -1, dynamic={(0, 1): "length"}),
    Case(aten.argmax.default, torch.tensor(3.0)),
    Case(aten.argmin.default, X),
    Case(aten.argmin.default, X, 0),
    Case(aten.argmin.default, i64(3, 40), 1, True),
    Case(aten.max.dim, X, 1, dynamic=BATCH),
    Case(aten.max.dim, X, -1, True),
    Case(aten.max.dim, f32(6), 0),
    Case(aten.max.dim, i64(3, 40), 1),
    Case(aten.max.dim, boolean(3, 9), 1),
    Case(aten.min.dim, X, 2),
    Case(aten.min.dim, i32(3, 40), -1, True),
    Case(aten.min.dim, torch.tensor(3.0), 0),
]
