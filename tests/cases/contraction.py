"""Rows of layers/contraction.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, byte, f16, f32, i32, i64

aten = torch.ops.aten

A, B = f32(2, 3, 4, 5), f32(2, 3, 6, 5)
X, Y, Z = f32(3, 4), f32(4, 5), f32(5, 6)
BATCH = {(0, 0): "batch", (1, 0): "batch"}


def einsum(equation: str, *tensors: torch.Tensor, **row: object) -> Case:
    return Case(aten.einsum.default, equation, list(tensors), **row)  # type: ignore[arg-type]


def by_sublists(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.einsum(x, [..., 0, 2], y, [..., 1, 2], [..., 0, 1])


CASES = [
    einsum("ij->j", i32(3, 4), dynamic={(0, 0): "n"}),
    einsum("ij,jk->", byte(3, 4), byte(4, 5)),
    einsum("ij,jk->ik", i32(3, 4), i32(4, 5)),
    einsum("ii->", i32(3, 3)),
    einsum("bhqd,bhkd->bhqk", A, B, dynamic={**BATCH, (0, 2): "queries", (1, 2): "keys"}),
    einsum("bhqk,bhkd->bhqd", A, f32(2, 3, 5, 4), dynamic=BATCH),
    einsum("bqhd,bkhd->bhqk", A.permute(0, 2, 1, 3).contiguous(), f32(2, 7, 3, 5), dynamic=BATCH),
    einsum("bhqk,bkhd->bqhd", A, f32(2, 5, 3, 4), dynamic={**BATCH, (0, 2): "queries"}),
    einsum("ij,jk", X, Y),
    einsum("ij , jk -> ki", X, Y),
    einsum("ij,jk,kl->il", X, Y, Z),
    einsum("ij,jk,kl->", X, Y, Z),
    Case(aten.einsum.default, "ij,jk,kl->il", [X, Y, Z], kwargs={"path": [1, 2, 0, 1]}),
    Case(aten.einsum.default, "ij,jk,kl->li", [X, Y, Z], kwargs={"path": [2, 0, 0, 1]}),
    einsum("i,j->ij", f32(3), f32(4), dynamic={(0, 0): "i", (1, 0): "j"}),
    einsum("i,i->", f32(5), f32(5), dynamic=BATCH),
    einsum("i,i->i", f32(5), f32(5)),
    einsum("i,i,i->i", f32(5), f32(5), f32(5)),
    einsum("ij->", X),
    einsum("ij->j", X, dynamic={(0, 0): "batch"}),
    einsum("ij->ji", X),
    einsum("ji", X),
    einsum("bA,ba->Ab", X, f32(3, 5)),
    einsum("ii->i", f32(4, 4)),
    einsum("ii", f32(4, 4)),
    einsum("ijji->ij", f32(3, 4, 4, 3)),
    einsum("iii->i", f32(3, 3, 3)),
    einsum("bii,bij->bj", f32(2, 3, 3), f32(2, 3, 4), dynamic=BATCH),
    einsum("...ij,...jk->...ik", f32(2, 3, 4), f32(2, 4, 5), dynamic=BATCH),
    einsum("...ij,jk->...ik", f32(2, 7, 3, 4), Y),
    einsum("...ij,...jk", f32(2, 1, 3, 4), f32(7, 4, 5)),
    einsum("i...,i...->...", f32(3, 4, 1), f32(3, 5)),
    einsum("...,...->...", f32(2, 3), f32(3)),
    einsum("...->", f32(2, 3)),
    einsum("b...->...", f32(2, 3, 4)),
    einsum("i...j->j...", f32(2, 3, 4)),
    einsum("...i->...", X),
    einsum("ij,kj->ik", f32(3, 1), f32(4, 5)),
    einsum("bij,bjk->bik", f32(1, 3, 4), f32(5, 4, 2)),
    einsum("bn,anm,bm->ba", f32(2, 5), f32(3, 5, 4), f32(2, 4), dynamic={(0, 0): "b", (2, 0): "b"}),
    einsum("abcd,cdef->abef", f32(2, 3, 4, 5), f32(4, 5, 2, 3), dynamic={(0, 0): "a"}),
    einsum("a,->a", f32(3), torch.tensor(2.0)),
    einsum("ij,jk->ik", f32(0, 4), Y),
    einsum("ij,jk->ik", f16(3, 4), f16(4, 5), tolerance=2e-3),
    einsum("ij,jk->ik", i64(3, 4), i64(4, 5)),
    einsum("bij,bkj->bik", i64(2, 3, 4), i64(2, 5, 4), dynamic=BATCH),
    einsum("nchw,nvhw->ncv", A, f32(2, 7, 4, 5), dynamic={**BATCH, (0, 2): "h", (1, 2): "h"}),
    einsum("nkctv,kvw->nctw", f32(2, 3, 4, 5, 6), f32(3, 6, 6), dynamic={(0, 0): "batch"}),
    Case(by_sublists, f32(2, 3, 4), f32(2, 5, 4), dynamic=BATCH),
    Case(aten.tensordot.default, A, f32(5, 4, 7), [2, 3], [1, 0], dynamic={(0, 0): "batch"}),
    Case(aten.tensordot.default, A, f32(5, 4, 7), [-1], [0]),
    Case(aten.tensordot.default, X, Y, [], []),
    Case(aten.tensordot.default, X, X, [0, 1], [0, 1]),
    Case(aten.tensordot.default, f32(3, 1), Y, [1], [0]),
    Case(aten.tensordot.default, i64(3, 4), i64(4, 2), [1], [0]),
    Case(aten.inner.default, X, f32(5, 4)),
    Case(aten.inner.default, X, torch.tensor(2.0)),
    Case(aten.inner.default, f32(4), f32(2, 3, 4)),
    Case(aten.vdot.default, f32(4), f32(4)),
    Case(aten.vdot.default, i64(4), i64(4)),
    Case(aten.kron.default, X, Y),
    Case(aten.kron.default, f32(3), f32(2, 4)),
    Case(aten.kron.default, f32(2, 3, 4), torch.tensor(2.0)),
    Case(aten.kron.default, i64(2, 3), i64(3, 1)),
    Case(
        aten._trilinear.default,
        *(f32(2, 4), f32(3, 4, 5), f32(2, 5)),
        *([1, 3], [0], [1, 2], [2, 3]),
    ),
    Case(torch.linalg.multi_dot, [X, Y, Z]),
    Case(torch.linalg.matrix_power, f32(2, 3, 3), 5),
    Case(torch.linalg.matrix_power, f32(3, 3), 0),
    Case(torch.cross, f32(4, 3), f32(4, 3, seed=1), -1, dynamic=BATCH),
    Case(torch.linalg.cross, f32(4, 3), f32(1, 3)),
    Case(torch.cross, i64(3, 4), i64(3, 4, seed=1), 0),
    Case(torch.trace, f32(3, 5)),
]
