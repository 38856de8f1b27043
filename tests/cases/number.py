"""Rows of layers/number.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten

X, Y = f32(3, 4), f32(3, 4, seed=1)
BATCH = {(0, 0): "batch", (1, 0): "batch"}
SPECIAL = torch.tensor([0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 3.5])
WIDE = torch.tensor([1e-38, 3e38, 0.5, 1.0, 2.0, 0.99999994, 1024.0, 1023.9999, -8.0, 7e-10])
FIBONACCI = torch.tensor([1836311903, 4660046610375530309, 7540113804746346429])
EARLIER = torch.tensor([1134903170, 2880067194370816120, 4660046610375530309])

CASES = [
    Case(aten.fmax.default, X, Y, dynamic=BATCH),
    Case(aten.fmax.default, SPECIAL, SPECIAL.roll(1)),
    Case(aten.fmax.default, i64(3, 4), i64(4)),
    Case(aten.fmin.default, SPECIAL, SPECIAL.roll(1)),
    Case(aten.fmin.default, X, torch.tensor(0.25)),
    Case(aten.signbit.default, SPECIAL),
    Case(aten.signbit.default, X, dynamic={(0, 0): "batch"}),
    Case(aten.signbit.default, i64(3, 4)),
    Case(aten.signbit.default, boolean(3, 4)),
    Case(aten.signbit.default, f16(3, 4)),
    Case(aten.copysign.Tensor, SPECIAL, SPECIAL.roll(1)[[0, 1, 2, 3, 4, 5, 6, 1]]),
    Case(aten.copysign.Tensor, X, i64(4)),
    Case(aten.copysign.Tensor, i64(3, 4), i64(4)),
    Case(aten.copysign.Scalar, X, -0.0),
    Case(aten.copysign.Scalar, i64(3), 2),
    Case(aten.ldexp.Tensor, X, i64(3, 4)),
    Case(aten.ldexp.Tensor, i64(3, 4), i64(4)),
    Case(aten.ldexp.Tensor, f16(3, 4), i32(3, 4)),
    Case(aten.ldexp.Tensor, X, Y, dynamic=BATCH),
    Case(aten.frexp.Tensor, SPECIAL),
    Case(aten.frexp.Tensor, WIDE),
    Case(aten.frexp.Tensor, X * 1e10, dynamic={(0, 0): "batch"}),
    Case(aten.frexp.Tensor, f16(3, 4)),
    Case(aten.gcd.default, i64(4, 5, low=-99, high=99), i64(4, 5, low=-99, high=99, seed=1)),
    Case(aten.gcd.default, i32(4, 5, low=-99999, high=99999), i32(5)),
    Case(aten.gcd.default, byte(4, 5), byte(4, 5, seed=1)),
    Case(aten.gcd.default, FIBONACCI, EARLIER),
    Case(aten.gcd.default, FIBONACCI[:1].int(), EARLIER[:1].int()),
    Case(aten.gcd.default, torch.tensor([0, 5, 0]), torch.tensor([0, 0, 7])),
    Case(aten.lcm.default, i64(4, 5, low=-99, high=99), i64(4, 5, low=-99, high=99, seed=1)),
    Case(aten.lcm.default, torch.tensor([0, 5, 0]), torch.tensor([0, 0, 7])),
]
