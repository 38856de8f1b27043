"""Rows of layers/bitwise.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, i32, i64

aten = torch.ops.aten

A, B = boolean(3, 4), boolean(3, 4, seed=1)
FAR = 2**62
I = i64(4, 5, low=-FAR, high=FAR)  # noqa: E741
J = i64(4, 5, low=-FAR, high=FAR, seed=1)
K, L = i32(4, 5, low=-(2**31), high=2**31 - 1), i32(4, 5, low=-(2**31), high=2**31 - 1, seed=1)
U, V = byte(4, 5), byte(4, 5, seed=1)
ENDS = torch.tensor([-(2**63), 2**63 - 1, -1, 0, 1, 2**30, -(2**30), 2**60])
BATCH = {(0, 0): "batch", (1, 0): "batch"}
MASKS = (0, 1, 0xFF, 0x0FF0, -1, -256, 2**62 + 5, 2**63 - 1, -(2**63))
COUNTS = torch.tensor([-3, -1, 0, 1, 29, 30, 31, 32, 59, 60, 61, 62, 63, 64, 99])
OF = torch.full((15,), -5)

CASES = [
    *(
        Case(operator.Tensor, *pair, dynamic=BATCH)
        for operator in (aten.bitwise_and, aten.bitwise_or, aten.bitwise_xor)
        for pair in ((A, B), (I, J), (K, L), (U, V), (K, J))
    ),
    Case(aten.bitwise_and.Tensor, ENDS, ENDS.flip(0)),
    Case(aten.bitwise_or.Tensor, ENDS, ENDS.roll(1)),
    Case(aten.bitwise_xor.Tensor, ENDS, ENDS.roll(3)),
    Case(aten.bitwise_and.Tensor, I, J[0]),
    Case(aten.bitwise_and.Tensor, I, torch.tensor(7)),
    Case(aten.bitwise_and.Tensor, A, K[:3, :4]),
    Case(aten.__and__.Tensor, A, B),
    Case(aten.__or__.Tensor, K, L),
    Case(aten.__xor__.Tensor, U, V),
    *(Case(aten.bitwise_and.Scalar, I, mask) for mask in MASKS),
    *(Case(aten.bitwise_or.Scalar, K, mask) for mask in (0, 5, -7)),
    *(Case(aten.bitwise_xor.Scalar, U, mask) for mask in (0, 5, 255)),
    Case(aten.bitwise_and.Scalar, A, True),
    Case(aten.bitwise_or.Scalar, A, False),
    Case(aten.bitwise_xor.Scalar, A, True),
    Case(aten.bitwise_and.Scalar, A, 6),
    Case(aten.__and__.Scalar, U, 15),
    Case(aten.__or__.Scalar, A, False),
    Case(aten.__xor__.Scalar, I, -1),
    Case(aten.bitwise_and.Scalar_Tensor, 12, K),
    Case(aten.bitwise_or.Scalar_Tensor, 12, I),
    Case(aten.bitwise_xor.Scalar_Tensor, 12, U),
    Case(aten.bitwise_not.default, A),
    Case(aten.bitwise_not.default, K),
    Case(aten.bitwise_not.default, U),
    *(
        Case(operator.Tensor, *pair)
        for operator in (aten.bitwise_left_shift, aten.bitwise_right_shift)
        for pair in ((OF, COUNTS), (OF.int(), COUNTS.int()), (I, COUNTS[2:7]), (U, V % 12))
    ),
    Case(aten.bitwise_left_shift.Tensor, I, i64(4, 5, low=0, high=64), dynamic=BATCH),
    Case(aten.bitwise_right_shift.Tensor, I, i64(4, 5, low=0, high=64), dynamic=BATCH),
    *(Case(aten.__lshift__.Scalar, I, count) for count in (0, 1, 31, 63, 64, -1)),
    *(Case(aten.__rshift__.Scalar, I, count) for count in (0, 1, 31, 63, 64, -1)),
    *(Case(aten.bitwise_left_shift.Tensor_Scalar, K, count) for count in (3, 31, 32)),
    *(Case(aten.bitwise_right_shift.Tensor_Scalar, K, count) for count in (3, 31, 32)),
    Case(aten.bitwise_left_shift.Tensor_Scalar, U, 3),
    Case(aten.bitwise_right_shift.Tensor_Scalar, U, 3),
    Case(aten.bitwise_left_shift.Scalar_Tensor, 3, COUNTS),
    Case(aten.bitwise_right_shift.Scalar_Tensor, -300, COUNTS),
    Case(aten.__lshift__.Tensor, K, L % 32),
    Case(aten.__rshift__.Tensor, K, L % 32),
]
