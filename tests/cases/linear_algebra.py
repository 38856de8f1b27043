"""Rows of determinants, inverses and linear equations of small matrices."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten


def definite(*shape: int) -> torch.Tensor:
    """Symmetric, with positive eigenvalues."""
    x = f32(*shape)
    return x @ x.mT + torch.eye(shape[-1])


A = f32(2, 4, 4)
BIG = f32(16, 16)
TURNED = torch.tensor([[0.0, 2, 1], [3, 0, 0], [0, 0, 4]])  # a 0 where the first pivot is
SINGULAR = torch.tensor([[1.0, 2], [2, 4]])
N = {(0, 0): "n"}
BOTH = {(0, 0): "n", (1, 0): "n"}
LOOSE = {"tolerance": 1e-4}

CASES = [
    Case(aten.linalg_det.default, A, dynamic=N),
    Case(aten.linalg_det.default, TURNED),
    Case(aten.linalg_det.default, SINGULAR),
    Case(aten.linalg_det.default, BIG, **LOOSE),
    Case(aten.linalg_det.default, f32(3, 1, 1)),
    Case(aten.linalg_det.default, f32(17, 17)).raises("sizes up to 16"),
    Case(aten.det.default, A),
    Case(lambda x: aten._linalg_det.default(x)[0], A),
    Case(aten._linalg_det.default, A).raises("factors of an elimination"),
    Case(aten.linalg_slogdet.default, A, dynamic=N),
    Case(aten.linalg_slogdet.default, SINGULAR),
    Case(aten.slogdet.default, TURNED),
    Case(lambda x: aten._linalg_slogdet.default(x)[:2], A),
    Case(aten._linalg_slogdet.default, A).raises("factors of an elimination"),
    Case(aten.logdet.default, definite(3, 4, 4)),
    Case(aten.logdet.default, f32(4, 3, 3)),
    Case(aten.linalg_inv.default, A, dynamic=N, **LOOSE),
    Case(aten.linalg_inv.default, TURNED),
    Case(aten.linalg_inv.default, BIG, **LOOSE),
    Case(aten.inverse.default, f32(2, 1, 3, 3), **LOOSE),
    Case(aten.linalg_inv_ex.default, A, **LOOSE),
    Case(lambda x: aten.linalg_inv_ex.default(x)[1], SINGULAR),
    Case(aten.linalg_solve.default, A, f32(2, 4, 3), dynamic=BOTH, **LOOSE),
    Case(aten.linalg_solve.default, A, f32(2, 4), **LOOSE),
    Case(aten.linalg_solve.default, f32(4, 4), f32(4), **LOOSE),
    Case(aten.linalg_solve.default, f32(4, 4), f32(3, 4, 2), **LOOSE),
    Case(aten.linalg_solve.default, A, f32(2, 3, 4), kwargs={"left": False}, **LOOSE),
    Case(aten.linalg_solve_ex.default, A, f32(2, 4, 3), **LOOSE),
    Case(lambda a, b: aten._linalg_solve_ex.default(a, b)[::3], A, f32(2, 4, 3), **LOOSE),
    Case(aten._linalg_solve_ex.default, A, f32(2, 4, 3)).raises("factors of an elimination"),
    Case(aten.linalg_cholesky.default, definite(3, 4, 4), dynamic=N),
    Case(aten.linalg_cholesky.default, definite(16, 16), kwargs={"upper": True}),
    Case(aten.cholesky.default, definite(2, 3, 3)),
    Case(aten.cholesky.default, definite(2, 3, 3), True),
    Case(aten.linalg_cholesky_ex.default, definite(2, 3, 3)),
    Case(lambda x: aten.linalg_cholesky_ex.default(x)[1], -definite(2, 3, 3)),
    *(Case(aten.linalg_matrix_power.default, A, n, **LOOSE) for n in (0, 1, 2, 5, -1, -3)),
]  # fmt: skip
