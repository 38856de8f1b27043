"""Rows of ``Constant``."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, boolean, f16, f32
from trtdsl.ir.constant import Constant, Weights
from trtdsl.types import DType


def row(value: object, expected: torch.Tensor, dtype: DType | None = None) -> LayerCase:
    return LayerCase(Constant(weights=Weights.of(value, dtype)), (), lambda: expected)


CASES = [
    row(f32(2, 3), f32(2, 3)),
    row(f16(4).requires_grad_(), f16(4)),
    row(boolean(3), boolean(3)),
    row([[1, 2], [3, 4]], torch.tensor([[1, 2], [3, 4]])),
    row(2.5, torch.tensor(2.5)),
    row([1.0, 2.0], torch.tensor([1.0, 2.0]).half(), DType.FLOAT16),
    row([], torch.empty(0, dtype=torch.int64), DType.INT64),
]
