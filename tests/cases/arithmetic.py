"""Rows of layers/arithmetic.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten

X, Y = f32(2, 3, 4), f32(2, 3, 4, seed=1)
FAR = Y.sign() * (Y.abs() + 0.3)
I, J = i64(5, 6), i64(5, 6, low=1, high=5, seed=1)  # noqa: E741
BOTH = {(0, 0): "batch", (1, 0): "batch"}
BATCH = {(0, 0): "batch"}
SCALAR = torch.tensor(2.5)
LEGS = torch.tensor([0.0, 3.0, -4.0, 1.0, 0.0])
ENDLESS = torch.tensor([1.0, 0.0, -7.0, 5.5])
WIDE = torch.tensor([0.5, 0.0, 3e4, -6e4, 1e-3], dtype=torch.float16)
"""Of products and quotients that float16 holds, by a number that it does not hold."""
HALVES = "TensorRT 8.6 computes float32 among float16 in float16, too coarsely for a remainder"
LARGE = "its powers of powers are int64"

CASES = [
    Case(aten.add.Tensor, X, Y, dynamic=BOTH),
    Case(aten.add.Tensor, X, Y, kwargs={"alpha": 0.5}),
    Case(aten.add.Tensor, X, f32(4)),
    Case(aten.add.Tensor, X, SCALAR),
    Case(aten.add.Tensor, f16(3, 4), SCALAR),
    Case(aten.add.Tensor, f16(3, 4), f32(3, 4)),
    Case(aten.add.Tensor, X, f32(4), constants=(1,), dynamic=BATCH),
    Case(aten.add.Tensor, I, J),
    Case(aten.add.Tensor, I, f32(5, 6)),
    Case(aten.add.Tensor, I, i32(5, 6)),
    Case(aten.add.Tensor, boolean(3, 4), boolean(3, 4, seed=1)),
    Case(aten.add.Tensor, boolean(3, 4), i64(3, 4)),
    Case(aten.add.Scalar, X, 2),
    Case(aten.add.Scalar, I, 2, 3),
    Case(aten.add.Scalar, I, 2.5),
    Case(aten.sub.Tensor, X, Y),
    Case(aten.sub.Tensor, I, J, kwargs={"alpha": 2}),
    Case(aten.sub.Scalar, X, 0.5),
    Case(aten.subtract.Tensor, X, Y),
    Case(aten.subtract.Scalar, X, 2),
    Case(aten.rsub.Tensor, X, Y, kwargs={"alpha": 3}),
    Case(aten.rsub.Scalar, X, 1.0),
    Case(aten.rsub.Scalar, I, 1, 2),
    Case(aten.mul.Tensor, X, f32(3, 1)),
    Case(aten.mul.Tensor, boolean(3, 4), boolean(3, 4, seed=1)),
    Case(aten.mul.Tensor, boolean(3, 4), f32(3, 4)),
    Case(aten.mul.Scalar, I, 3),
    Case(aten.mul.Scalar, I, 0.5),
    Case(aten.multiply.Tensor, X, Y),
    Case(aten.multiply.Scalar, X, 2),
    Case(aten.div.Tensor, X, FAR, dynamic=BOTH),
    Case(aten.div.Tensor, I, J),
    Case(aten.div.Scalar, X, 3),
    Case(aten.div.Scalar, torch.arange(8, dtype=torch.uint8), 255),
    Case(aten.divide.Tensor, X, FAR),
    Case(aten.true_divide.Tensor, I, J),
    Case(aten.div.Tensor_mode, X * 9, FAR, kwargs={"rounding_mode": "floor"}),
    Case(aten.div.Tensor_mode, X * 9, FAR, kwargs={"rounding_mode": "trunc"}),
    Case(aten.div.Tensor_mode, X, FAR, kwargs={"rounding_mode": None}),
    Case(aten.div.Tensor_mode, I, J, kwargs={"rounding_mode": "floor"}),
    Case(aten.div.Tensor_mode, I, J, kwargs={"rounding_mode": "trunc"}),
    Case(aten.div.Scalar_mode, I, 4, kwargs={"rounding_mode": "floor"}),
    Case(aten.div.Scalar_mode, X * 9, 2, kwargs={"rounding_mode": "trunc"}),
    Case(aten.floor_divide.default, I, J),
    Case(aten.floor_divide.default, X * 9, FAR),
    Case(aten.floor_divide.Scalar, I, 2),
    Case(aten.remainder.Tensor, I, J),
    Case(aten.remainder.Tensor, X * 9, FAR),
    Case(aten.remainder.Scalar, I, -4),
    Case(aten.remainder.Scalar, X * 9, 2.5),
    Case(aten.remainder.Scalar_Tensor, 7, J),
    Case(aten.fmod.Tensor, I, J),
    Case(aten.fmod.Tensor, X * 9, FAR),
    Case(aten.fmod.Scalar, X * 9, -2.5),
    Case(aten.fmod.Scalar, I, 4),
    Case(aten.fmod.Scalar, f16(5, 6) * 100, 0.7, gpu=HALVES),
    Case(aten.remainder.Scalar, f16(5, 6) * 100, -0.7),
    Case(aten.pow.Tensor_Scalar, X, 2, dynamic=BATCH),
    Case(aten.pow.Tensor_Scalar, X, 3),
    Case(aten.pow.Tensor_Scalar, X, 7.0),
    Case(aten.pow.Tensor_Scalar, FAR, -1),
    Case(aten.pow.Tensor_Scalar, FAR, -3),
    Case(aten.pow.Tensor_Scalar, X, 0),
    Case(aten.pow.Tensor_Scalar, X.abs(), 0.5),
    Case(aten.pow.Tensor_Scalar, X.abs() + 0.1, -0.5),
    Case(aten.pow.Tensor_Scalar, X.abs() + 0.1, 1.7),
    Case(aten.pow.Tensor_Scalar, X, 1),
    Case(aten.pow.Tensor_Scalar, I, 2),
    Case(aten.pow.Tensor_Scalar, I, 5),
    Case(aten.pow.Tensor_Scalar, I, 0),
    Case(aten.pow.Tensor_Scalar, I.abs(), 0.5),
    Case(aten.pow.Tensor_Tensor, X.abs() + 0.1, Y),
    Case(aten.pow.Scalar, 10000.0, X),
    Case(aten.pow.Scalar, 2, X),
    Case(aten.pow.Tensor_Tensor, I, J, dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.pow.Tensor_Tensor, i64(5, 6, low=-1, high=2), i64(5, 6, low=-70, high=70)),
    Case(aten.pow.Tensor_Tensor, i32(5, 6), i32(6, low=0, high=6)),
    Case(aten.pow.Tensor_Tensor, boolean(5, 6), J),
    Case(aten.pow.Scalar, 2, i64(9, low=0, high=31), gpu=LARGE),
    Case(aten.pow.Scalar, 3, J, gpu=LARGE),
    Case(aten.square.default, X),
    Case(aten.square.default, I),
    Case(aten.square.default, boolean(3, 4)),
    Case(aten.pow.Tensor_Scalar, X, math.inf),
    Case(aten.addcmul.default, X, Y, f32(2, 3, 4, seed=2)),
    Case(aten.addcmul.default, X, f32(4), f32(3, 1), kwargs={"value": 0.5}),
    Case(aten.addcdiv.default, X, Y, FAR, kwargs={"value": 2}),
    Case(aten.lerp.Scalar, X, Y, 0.3),
    Case(aten.lerp.Tensor, X, Y, f32(2, 3, 4, low=0.0)),
    Case(aten.maximum.default, X, Y, dynamic=BOTH),
    Case(aten.maximum.default, I, J),
    Case(aten.maximum.default, boolean(3, 4), boolean(3, 4, seed=1)),
    Case(aten.max.other, X, f32(4)),
    Case(aten.minimum.default, X, Y),
    Case(aten.minimum.default, boolean(3, 4), boolean(3, 4, seed=1)),
    Case(aten.min.other, I, J),
    Case(aten.clamp.default, X, -0.5, 0.5),
    Case(aten.clamp.default, X, 0.5, -0.5),
    Case(aten.clamp.default, X, -0.5),
    Case(aten.clamp.default, X, None, 0.5),
    Case(aten.clamp.default, X, -math.inf, 0.5),
    Case(aten.clamp.default, I, -2, 3),
    Case(aten.clamp.default, I, -1.5, 3),
    Case(aten.clamp.default, f16(3, 4), -1, 1),
    Case(aten.clamp.Tensor, X, f32(4) - 1, f32(4) + 1),
    Case(aten.clamp.Tensor, X, None, f32(2, 3, 4, seed=3)),
    Case(aten.clip.default, X, 0, 1),
    Case(aten.clip.Tensor, X, f32(4)),
    Case(aten.clamp_min.default, X, 1e-12),
    Case(aten.clamp_min.default, I, 1),
    Case(aten.clamp_min.Tensor, X, Y),
    Case(aten.clamp_max.default, X, 0.25),
    Case(aten.clamp_max.Tensor, X, Y),
    Case(aten.hypot.default, X, Y),
    Case(aten.hypot.default, f16(3, 4) * 2000, f16(3, 4, seed=1) * 2000, tolerance=1e-3),
    Case(aten.hypot.default, LEGS * 1e30, LEGS.flip(0) * 1e30),
    Case(aten.hypot.default, LEGS * 1e-30, LEGS.flip(0) * 1e-30),
    Case(aten.remainder.Tensor, ENDLESS.abs(), torch.tensor(math.inf)),
    Case(aten.fmod.Tensor, ENDLESS, torch.tensor([math.inf, -math.inf, 2.0, 0.7])),
    *(
        Case(operator, WIDE, scalar, tolerance=1e-3)
        for operator in (aten.mul.Tensor, aten.div.Tensor)
        for scalar in (7e4, 3e-5)
    ),
    Case(aten.remainder.Scalar, WIDE.abs(), 7e4),
    Case(aten.fmod.Scalar, WIDE, 7e4),
    Case(aten.div.Tensor_mode, WIDE, 3e-5, kwargs={"rounding_mode": "trunc"}, tolerance=1e-3),
    Case(aten.pow.Tensor_Scalar, f16(3, 4).sign() * 100, -3, tolerance=2e-2),
    Case(aten.add.Tensor, byte(3, 5), 300, dynamic=BATCH),
    Case(aten.mul.Tensor, byte(3, 5), 257),
    Case(aten.floor_divide.default, byte(3, 5), 300),
    Case(aten.rsub.Scalar, byte(3, 5), 300),
]
