"""Rows of layers/function.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, boolean, f16, f32, i32, i64

aten = torch.ops.aten

X = f32(2, 3, 4)
ABOVE = X.abs() + 0.1
INSIDE = f32(3, 5, low=-0.95, high=0.95)
SMALL = f32(3, 5) * 1e-4
SPECIAL = torch.tensor([0.0, 1.0, -1.0, math.inf, -math.inf, math.nan])
HALVES = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.7])
POINTS = (
    torch.tensor([1.0, 1.0, -1.0, -1.0, 0.0, 0.0, 2.0, -2.0, 0.0, 2.0, -2.0]),
    torch.tensor([2.0, -2.0, 2.0, -2.0, 3.0, -3.0, 0.0, 0.0, 0.0, -0.0, -0.0]),
)

CASES = [
    Case(aten.exp.default, X, dynamic={(0, 0): "batch"}),
    Case(aten.exp.default, i64(3, 4, low=-3, high=3)),
    Case(aten.exp.default, torch.tensor(0.5)),
    Case(aten.log.default, ABOVE),
    Case(aten.sqrt.default, ABOVE),
    Case(aten.sqrt.default, i32(3, 4, low=0)),
    Case(aten.reciprocal.default, ABOVE),
    Case(aten.sin.default, X),
    Case(aten.cos.default, X),
    Case(aten.tan.default, INSIDE),
    Case(aten.sinh.default, X),
    Case(aten.cosh.default, X),
    Case(aten.asin.default, INSIDE),
    Case(aten.acos.default, INSIDE),
    Case(aten.atan.default, X),
    Case(aten.asinh.default, X),
    Case(aten.acosh.default, ABOVE + 1),
    Case(aten.atanh.default, INSIDE),
    Case(aten.erf.default, X),
    Case(aten.ceil.default, X * 3),
    Case(aten.ceil.default, i64(3)),
    Case(aten.floor.default, X * 3),
    Case(aten.round.default, HALVES),
    Case(aten.round.default, i64(3)),
    Case(aten.round.decimals, X * 30, kwargs={"decimals": 2}),
    Case(aten.round.decimals, X * 300, kwargs={"decimals": -1}),
    Case(aten.round.decimals, f16(3, 4) * 9000, kwargs={"decimals": 1}),
    Case(aten.trunc.default, X * 3),
    Case(aten.trunc.default, SPECIAL),
    Case(aten.fix.default, X * 3),
    Case(aten.frac.default, X * 3),
    Case(aten.abs.default, X),
    Case(aten.abs.default, i64(3, 4)),
    Case(aten.abs.default, torch.tensor(-2.0)),
    Case(aten.neg.default, X),
    Case(aten.neg.default, i64(3, 4)),
    Case(aten.sign.default, SPECIAL[:5]),
    Case(aten.sign.default, i64(3, 4)),
    Case(aten.sign.default, boolean(3, 4)),
    Case(aten.sgn.default, X),
    Case(aten.exp2.default, X),
    Case(aten.expm1.default, X),
    Case(aten.expm1.default, SMALL),
    Case(aten.expm1.default, torch.tensor([-100.0, 80.0])),
    Case(aten.log1p.default, ABOVE * 1e4),
    Case(aten.log1p.default, SMALL),
    Case(aten.log1p.default, torch.tensor([-0.99, -0.6, -0.4, 0.4, 0.6])),
    Case(aten.log2.default, ABOVE),
    Case(aten.log10.default, ABOVE),
    Case(aten.log10.default, i64(3, 4, low=1)),
    Case(aten.rsqrt.default, ABOVE),
    Case(aten.rsqrt.default, f16(3, 4).abs() + 1, tolerance=2e-3),
    Case(aten.atan2.default, *POINTS),
    Case(aten.atan2.default, f32(3, 4), f32(3, 4, seed=1)),
    Case(aten.logaddexp.default, X * 40, f32(2, 3, 4, seed=1) * 40),
    Case(aten.logaddexp.default, torch.tensor([-math.inf, 1.0]), torch.tensor([-math.inf, 1.0])),
    Case(aten.logit.default, f32(3, 4, low=0.05, high=0.95)),
    Case(aten.logit.default, f32(3, 4, low=0.0), 0.1),
    Case(aten.special_logit.default, f32(3, 4, low=0.05, high=0.95)),
    Case(aten.xlogy.Tensor, torch.tensor([0.0, 0.0, 2.0]), torch.tensor([0.0, math.nan, 3.0])),
    Case(aten.xlogy.Scalar_Other, X, 2.0),
    Case(aten.xlogy.Scalar_Self, 2, ABOVE),
    Case(aten.nan_to_num.default, SPECIAL),
    Case(aten.nan_to_num.default, SPECIAL, 1.0, 2.0, -3.0),
    Case(aten.nan_to_num.default, i64(3)),
]
