"""Rows of equations of triangular matrices."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32
from tests.cases.linear_algebra import BOTH, LOOSE, N, definite

aten = torch.ops.aten


def full(*shape: int) -> torch.Tensor:
    """Numbers on both sides of a diagonal of 2 and more."""
    return f32(*shape) + torch.eye(shape[-1]) * 5


A, B = full(2, 4, 4), f32(2, 4, 3)
LOWER = torch.linalg.cholesky(definite(2, 4, 4))
solve = aten.linalg_solve_triangular.default

CASES = [
    *(
        Case(solve, A, B if left else B.mT, kwargs={"upper": u, "left": left, "unitriangular": one})
        for u in (True, False) for left in (True, False) for one in (True, False)
    ),
    Case(solve, A, B, kwargs={"upper": True}, dynamic={**BOTH, (1, 2): "k"}),
    Case(solve, A, f32(4, 1), kwargs={"upper": False}, dynamic=N),
    Case(solve, full(4, 4), f32(3, 1, 4, 2), kwargs={"upper": False}),
    Case(solve, full(1, 1), f32(1, 2), kwargs={"upper": True}),
    Case(solve, full(16, 16), f32(16, 1), kwargs={"upper": False}, **LOOSE),
    Case(solve, full(17, 17), f32(17, 1), kwargs={"upper": True}).raises("sizes up to 16"),
    Case(solve, f32(2, 0, 0), f32(2, 0, 3), kwargs={"upper": True}),
    Case(aten.cholesky_solve.default, B, LOWER, dynamic=BOTH, **LOOSE),
    Case(aten.cholesky_solve.default, B, LOWER.mT.contiguous(), True, **LOOSE),
    Case(aten.cholesky_solve.default, B[0], LOWER, **LOOSE),
    Case(aten.cholesky_inverse.default, LOWER, dynamic=N, **LOOSE),
    Case(aten.cholesky_inverse.default, LOWER.mT.contiguous(), True, **LOOSE),
    Case(aten.linalg_tensorinv.default, full(4, 4).reshape(2, 2, 4), **LOOSE),
    Case(aten.linalg_tensorinv.default, full(6, 6).reshape(6, 3, 2), 1, **LOOSE),
]  # fmt: skip
