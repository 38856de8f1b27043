"""Rows of layers/copies.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten

X = f32(2, 3, 4)
BATCH = {(0, 0): "batch"}

CASES = [
    Case(aten.view_copy.default, X, [6, -1]),
    Case(aten._reshape_copy.default, X, [4, 6]),
    Case(aten.permute_copy.default, X, [2, 0, -2], dynamic=BATCH),
    Case(aten.narrow_copy.default, X, -1, 1, 2, dynamic=BATCH),
    Case(aten._pad_circular.default, X, [1, 2], dynamic=BATCH),
    Case(aten.resize.default, X, [3, 5]),
    Case(aten.resize.default, X, [2, 3, 4]),
    Case(lambda x: (x * 1).resize_(5, 2), X),
    Case(lambda x: aten.resize.default(x, [5, 6]).flatten()[:24], X),
]
