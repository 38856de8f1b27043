"""Rows of layers/creation.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten

X = f32(2, 3, 4)
BATCH = {(0, 0): "batch"}
I32 = {"dtype": torch.int32}
BOOL = {"dtype": torch.bool}

CASES = [
    Case(aten.full.default, [2, 3], 1.5),
    Case(aten.full.default, [2, 3], 2),
    Case(aten.full.default, [2], True),
    Case(aten.full.default, [], 3.5, kwargs={"dtype": torch.float16}),
    Case(aten.zeros.default, [2, 3]),
    Case(aten.zeros.default, [2, 3], kwargs=BOOL),
    Case(aten.ones.default, [4], kwargs=I32),
    Case(aten.ones.default, [4]),
    Case(aten.full_like.default, X, 0.25, dynamic=BATCH),
    Case(aten.full_like.default, i64(3), 7),
    Case(aten.full_like.default, X, 2, kwargs=I32),
    Case(aten.zeros_like.default, X, dynamic={(0, 0): "batch", (0, 2): "length"}),
    Case(aten.zeros_like.default, boolean(3)),
    Case(aten.ones_like.default, f16(3, 4)),
    Case(aten.ones_like.default, X, kwargs=BOOL, dynamic=BATCH),
    Case(aten.new_full.default, X, [2, 2], 9),
    Case(aten.new_zeros.default, i64(3), [2, 2]),
    Case(aten.new_ones.default, X, [3], kwargs=BOOL),
    Case(aten.fill.Scalar, X, 3, dynamic=BATCH),
    Case(aten.fill.Scalar, i64(3), 4),
    Case(aten.fill.Tensor, X, torch.tensor(2.5)),
    Case(aten.fill.Tensor, X, torch.tensor(2)),
    Case(aten.zero.default, X),
    Case(aten.scalar_tensor.default, 2),
    Case(aten.scalar_tensor.default, 2.5, kwargs=I32),
]
