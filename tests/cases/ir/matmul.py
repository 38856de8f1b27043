"""Rows of ``MatrixMultiply``: numpy's einsum in float64 says what is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation

NONE, TRANSPOSE, VECTOR = MatrixOperation.NONE, MatrixOperation.TRANSPOSE, MatrixOperation.VECTOR


def einsum(formula: str) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        product = np.einsum(formula, x.double().numpy(), y.double().numpy())
        return torch.as_tensor(product).to(x.dtype)

    return reference


CASES = [
    LayerCase(
        MatrixMultiply(),
        (f32(3, 4), f32(4, 5)),
        einsum("mk,kn->mn"),
        symbolic={(0, 0): "m", (1, 1): "n"},
    ),
    LayerCase(
        MatrixMultiply(op0=TRANSPOSE, op1=TRANSPOSE),
        (f32(2, 4, 3), f32(2, 5, 4)),
        einsum("bkm,bnk->bmn"),
        symbolic={(0, 0): "b", (1, 0): "b"},
    ),
    LayerCase(
        MatrixMultiply(op1=TRANSPOSE),
        (f32(2, 3, 4, 6), f32(1, 1, 5, 6)),
        lambda x, y: einsum("abmk,nk->abmn")(x, y[0, 0]),
        constants=(1,),
    ),
    LayerCase(MatrixMultiply(op0=VECTOR), (f32(4), f32(4, 5)), einsum("k,kn->n")),
    LayerCase(MatrixMultiply(op1=VECTOR), (f32(2, 3, 4), f32(2, 4)), einsum("bmk,bk->bm")),
    LayerCase(MatrixMultiply(op0=VECTOR, op1=VECTOR), (f32(4), f32(4)), einsum("k,k->")),
    LayerCase(
        MatrixMultiply(op0=VECTOR, op1=TRANSPOSE), (f32(2, 4), f32(2, 5, 4)), einsum("bk,bnk->bn")
    ),
    LayerCase(MatrixMultiply(), (f16(3, 4), f16(4, 5)), einsum("mk,kn->mn"), tolerance=2e-3),
]
