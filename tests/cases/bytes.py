"""Rows of numbers of one byte, of which TensorRT computes none: they wrap as in PyTorch."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, f32, i64

aten = torch.ops.aten

B, C = byte(3, 4), byte(3, 4, seed=1).clamp(1)
S, T = B.char(), C.char() | 1

CASES = [
    Case(aten.add.Tensor, B, C, dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.add.Tensor, S, T),
    Case(aten.add.Tensor, B, boolean(3, 4), kwargs={"alpha": 3}),
    Case(aten.add.Tensor, f32(3, 4), B, kwargs={"alpha": 2}),
    Case(aten.add.Tensor, boolean(3, 4), boolean(4), kwargs={"alpha": 2}),
    Case(aten.add.Scalar, B, -2),
    Case(aten.sub.Tensor, B, C, kwargs={"alpha": 3}),
    Case(aten.sub.Tensor, f32(3, 4), f32(3, 4).half(), kwargs={"alpha": 3}, tolerance=1e-7),
    Case(aten.rsub.Scalar, B, 7),
    Case(aten.mul.Tensor, B, C),
    Case(aten.mul.Tensor, S, T),
    Case(aten.mul.Tensor, B, torch.tensor(300)),
    Case(aten.square.default, B),
    Case(aten.floor_divide.default, B, C),
    Case(aten.floor_divide.default, S, T),
    Case(aten.div.Tensor_mode, B, C, kwargs={"rounding_mode": "trunc"}),
    Case(aten.remainder.Tensor, B, C),
    Case(aten.remainder.Scalar, S, -7),
    Case(aten.fmod.Scalar, S, 7),
    Case(aten.maximum.default, B, C),
    Case(aten.minimum.default, S, T),
    Case(aten.clamp.default, B, 10, 100),
    Case(aten.lt.Scalar, B, -2),
    Case(aten.eq.Scalar, B, -156),
    Case(aten.neg.default, B),
    Case(aten.abs.default, B),
    Case(aten.abs.default, S),
    Case(aten.sign.default, B),
    Case(aten.relu.default, B),
    Case(aten.pow.Tensor_Scalar, B, 3),
    Case(aten.pow.Tensor_Tensor, B, byte(3, 4, seed=2) % 5),
    Case(aten.matmul.default, B, byte(4, 2)),
    Case(aten.addbmm.default, byte(2, 3), byte(4, 2, 5), byte(4, 5, 3)),
    Case(aten.dot.default, S[0], T[0]),
    Case(aten.einsum.default, "ij,kj->ik", [B, C]),
    Case(aten.tensordot.default, S, T, [1], [1]),
    Case(aten.sum.default, B + 100),
    Case(aten.where.self, boolean(3, 4), B, C),
    Case(aten.bitwise_and.Tensor, B, C),
    Case(aten.add.Tensor, i64(3, 4), B),
]
