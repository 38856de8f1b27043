"""Rows of layers/reduction.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten

X = f32(2, 3, 4)
BATCH = {(0, 0): "batch"}
LONG = {(0, 2): "length"}
INF = torch.tensor([[-math.inf, -math.inf], [math.inf, 1.0], [2.0, -3.0]])

CASES = [
    Case(aten.sum.default, X, dynamic=BATCH),
    Case(aten.sum.default, boolean(3, 4)),
    Case(aten.sum.default, torch.tensor(2.0)),
    Case(aten.sum.dim_IntList, X, [1], dynamic=LONG),
    Case(aten.sum.dim_IntList, X, [-1, 0], True),
    Case(aten.sum.dim_IntList, X, None),
    Case(aten.sum.dim_IntList, X, []),
    Case(aten.sum.dim_IntList, i32(3, 4), [1]),
    Case(aten.sum.dim_IntList, boolean(3, 4), [1]),
    Case(aten.sum.dim_IntList, i64(3, 4), [0], kwargs={"dtype": torch.float32}),
    Case(aten.prod.default, X),
    Case(aten.prod.dim_int, X, 1),
    Case(aten.prod.dim_int, i32(3, 4), -1, True),
    Case(aten.mean.default, X, dynamic=LONG),
    Case(aten.mean.default, i64(3, 4), kwargs={"dtype": torch.float32}),
    Case(aten.mean.dim, f32(2, 3, 4, 5), [2, 3], True, dynamic={(0, 2): "h", (0, 3): "w"}),
    Case(aten.mean.dim, X, [-1]),
    Case(aten.mean.dim, X, None, True),
    Case(aten.mean.dim, f16(4, 64), [1], tolerance=2e-3),
    Case(aten.mean.dim, f16(4, 8), [1], kwargs={"dtype": torch.float32}),
    Case(aten.amax.default, X),
    Case(aten.amax.default, X, [1, -1], True, dynamic=LONG),
    Case(aten.amax.default, boolean(3, 4), [1]),
    Case(aten.amin.default, X, [0]),
    Case(aten.amin.default, i64(3, 4), []),
    Case(aten.max.default, X),
    Case(aten.max.default, i64(7)),
    Case(aten.max.default, torch.arange(9, dtype=torch.uint8)),
    Case(aten.min.default, X),
    Case(aten.aminmax.default, X),
    Case(aten.aminmax.default, X, kwargs={"dim": 1, "keepdim": True}),
    Case(aten.any.default, boolean(3, 4)),
    Case(aten.any.default, torch.zeros(3, 4)),
    Case(aten.any.dim, boolean(3, 4), 1),
    Case(aten.any.dim, i64(3, 4, low=0, high=2), -1, True),
    Case(aten.any.dims, boolean(2, 3, 4), [0, 2]),
    Case(aten.any.dims, boolean(2, 3), None),
    Case(aten._is_any_true.default, boolean(3)),
    Case(aten.all.default, torch.ones(3, 4)),
    Case(aten.all.dim, boolean(6, 2), 1, True, dynamic={(0, 0): "batch"}),
    Case(aten.all.dims, boolean(2, 3, 2), [0, 2]),
    Case(aten._is_all_true.default, boolean(3)),
    Case(aten.count_nonzero.default, i64(3, 40)),
    Case(aten.count_nonzero.default, X.relu(), 1),
    Case(aten.count_nonzero.dim_IntList, boolean(3, 4, 5), [0, 2]),
    Case(aten.logsumexp.default, X * 60, [1], dynamic=LONG),
    Case(aten.logsumexp.default, X, [0, 2], True),
    Case(aten.logsumexp.default, INF, [1]),
    Case(aten.logsumexp.default, f16(3, 4) * 60, [1], tolerance=2e-3),
    *(
        case
        for operator in (aten.any.dims, aten.all.dims)
        for case in (
            Case(operator, boolean(2, 3), []),
            Case(operator, boolean(2, 3), [], True),
            Case(operator, f32(0, 3), [0]),
            Case(operator, f32(0, 3), [0, 1], True),
            Case(operator, f32(3, 0), [0]),
        )
    ),
    Case(aten.any.default, f32(0)),
    Case(aten.logsumexp.default, f32(0, 3), [0]),
    Case(aten.logsumexp.default, f16(3, 0), [1], True),
    *(
        Case(operator, i64(3, 5, low=-99, high=99), axes, kwargs={"dtype": dtype})
        for operator, axes in ((aten.prod.dim_int, 1), (aten.sum.dim_IntList, [1]))
        for dtype in (torch.uint8, torch.int8, torch.bool, torch.int32)
    ),
    Case(aten.prod.default, byte(3), kwargs={"dtype": torch.uint8}),
]
