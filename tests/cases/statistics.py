"""Rows of layers/statistics.py."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, f16, f32

NO_NAN = "the variance of one element, NaN in PyTorch, is a number in TensorRT 8.6"

aten = torch.ops.aten

X = f32(2, 3, 4) + 2
BATCH = {(0, 0): "batch"}
LONG = {(0, 2): "length"}
F32 = {"dtype": torch.float32}

CASES = [
    *(
        case
        for name in ("var", "std", "var_mean", "std_mean")
        for case in (
            Case(getattr(aten, name).default, X, dynamic=BATCH),
            Case(getattr(aten, name).default, X, False),
            Case(getattr(aten, name).dim, X, [1]),
            Case(getattr(aten, name).dim, X, [-1, 0], False, True, dynamic=LONG),
            Case(getattr(aten, name).dim, X, None),
            Case(getattr(aten, name).correction, X),
            Case(getattr(aten, name).correction, X, [2], kwargs={"correction": 0}),
            Case(
                getattr(aten, name).correction,
                X,
                [1],
                kwargs={"correction": 0.5, "keepdim": True},
            ),
            Case(getattr(aten, name).dim, f32(3, 1), [1], gpu=NO_NAN),
        )
    ),
    # The squares of these do not fit float16.
    Case(aten.var.dim, f16(3, 64) * 100, [1], tolerance=2e-3),
    Case(aten.std.dim, f16(3, 64) * 1000, [1], tolerance=2e-3),
    *(
        Case(aten.linalg_vector_norm.default, X - 2, order, [-1], True)
        for order in (2, 1, 0, 3, 0.5, math.inf, -math.inf)
    ),
    Case(aten.linalg_vector_norm.default, X, dynamic=LONG),
    Case(aten.linalg_vector_norm.default, X, 2, [0, 2]),
    Case(aten.linalg_vector_norm.default, f16(3, 64) * 100, 2, [1], tolerance=2e-3),
    Case(aten.linalg_vector_norm.default, f16(3, 4), kwargs=F32),
    Case(aten.linalg_norm.default, X),
    Case(aten.linalg_norm.default, X, None, [1]),
    Case(aten.linalg_norm.default, X, 1, [1], True),
    Case(aten.linalg_norm.default, X, 2, [1, 2]).raises("matrix norm of order 2"),
    Case(aten.norm.Scalar, X),
    Case(aten.norm.Scalar, X, 3),
    Case(aten.norm.ScalarOpt_dim, X, 1, [1]),
    Case(aten.norm.ScalarOpt_dim, X, None, [1, 2], True),
    Case(aten.norm.ScalarOpt_dim_dtype, f16(3, 4), 2, [1], False, kwargs=F32),
    Case(aten.norm.ScalarOpt_dtype, f16(3, 4), 2, kwargs=F32),
    *(
        case
        for order in (1, -1, math.inf, -math.inf)
        for case in (
            Case(aten.linalg_norm.default, f32(3, 4), order),
            Case(
                aten.linalg_norm.default, f16(3, 4), order, kwargs={"keepdim": True}, tolerance=1e-3
            ),
            Case(aten.linalg_norm.default, X, order, [2, 0]),
            Case(aten.linalg_matrix_norm.default, X, order),
            Case(aten.linalg_matrix_norm.default, X, order, [0, -1], True, kwargs=F32),
        )
    ),
    Case(aten.linalg_norm.default, f32(0, 0), math.inf),
    Case(aten.linalg_norm.default, X, 2, [0, 1]).raises("singular values(.|\n)*fix:"),
    Case(aten.linalg_matrix_norm.default, X, -2).raises("singular values(.|\n)*fix:"),
]
