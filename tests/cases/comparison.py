"""Rows of layers/comparison.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten

X, Y = f32(2, 3, 4).round(decimals=0), f32(2, 3, 4, seed=1).round(decimals=0)
I, J = i64(5, 6), i64(5, 6, seed=1)  # noqa: E741
A, B = boolean(3, 4), boolean(3, 4, seed=1)
SPECIAL = torch.tensor([0.0, 1.0, -1.0, math.inf, -math.inf, math.nan])
BOTH = {(0, 0): "batch", (1, 0): "batch"}

CASES = [
    *(
        case
        for name in ("eq", "ne", "lt", "le", "gt", "ge")
        for case in (
            Case(getattr(aten, name).Tensor, X, Y, dynamic=BOTH),
            Case(getattr(aten, name).Tensor, I, J[:1]),
            Case(getattr(aten, name).Tensor, SPECIAL, SPECIAL),
            Case(getattr(aten, name).Tensor, A, B),
            Case(getattr(aten, name).Scalar, X, 1),
            Case(getattr(aten, name).Scalar, I, 0.5),
            Case(getattr(aten, name).Scalar, torch.arange(5, dtype=torch.uint8), 3),
        )
    ),
    Case(aten.isclose.default, X, X + 1e-6),
    Case(aten.isclose.default, X, Y, 0.5, 0.1),
    Case(aten.isclose.default, boolean(3, 4), boolean(3, 4, seed=1)),
    Case(aten.isclose.default, torch.arange(6).to(torch.uint8), torch.arange(6).to(torch.uint8)),
    Case(aten.isclose.default, SPECIAL, SPECIAL.roll(1)),
    Case(aten.isclose.default, SPECIAL, SPECIAL, 1e-5, 1e-8, True),
    Case(aten.isnan.default, SPECIAL),
    Case(aten.isnan.default, I),
    Case(aten.isinf.default, SPECIAL),
    Case(aten.isinf.default, I),
    Case(aten.isfinite.default, SPECIAL),
    Case(aten.isfinite.default, I),
    Case(aten.logical_and.default, A, B),
    Case(aten.logical_and.default, X, I[:3, :4]),
    Case(aten.logical_or.default, A, B),
    Case(aten.logical_xor.default, A, X[0]),
    Case(aten.logical_not.default, A),
    Case(aten.logical_not.default, I),
    Case(aten.where.self, X > 0, X, Y, dynamic={**BOTH, (2, 0): "batch"}),
    Case(aten.where.self, A, f32(4), torch.tensor(2.0)),
    Case(aten.where.self, A, i64(3, 4), f32(3, 1)),
    Case(aten.where.self, A, A, B),
    Case(aten.where.ScalarOther, A, f32(3, 4), -math.inf),
    Case(aten.where.ScalarOther, A, i64(3, 4), 0.5),
    Case(aten.where.ScalarSelf, A, 1, f16(3, 4)),
    Case(aten.where.Scalar, A, 1.0, 0.0),
    Case(aten.where.Scalar, A, 1, 0),
    Case(aten.masked_fill.Scalar, f32(3, 4), A, -math.inf),
    Case(aten.masked_fill.Scalar, f32(3, 4), A, -1e4, dynamic=BOTH),
    Case(aten.masked_fill.Scalar, f32(2, 3, 4), A, 0),
    Case(aten.masked_fill.Scalar, i64(3, 4), A, 2.0),
    Case(aten.masked_fill.Scalar, f16(3, 4), A, -1e4),
    Case(aten.masked_fill.Tensor, f32(3, 4), A, torch.tensor(1.5)),
    Case(aten.masked_fill.Tensor, f32(3, 4), A, torch.tensor(3)),
    # Of a number that is too large for the tensor's integers, the last bits count.
    Case(aten.eq.Scalar, torch.tensor([44, 0, 255], dtype=torch.uint8), 300),
    Case(aten.lt.Scalar, byte(3, 5), -100),
    Case(aten.ge.Scalar, i32(3, 5), 2**40 + 3),
]
