"""Rows of the Fill layer."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase
from trtdsl.ir.fill import Fill
from trtdsl.types import DType

CASES = [
    LayerCase(Fill(shape=(5,)), (), lambda: torch.tensor([0, 1, 2, 3, 4])),
    LayerCase(
        Fill(shape=(4,), alpha=7, beta=-2, dtype=DType.INT32),
        (),
        lambda: torch.tensor([7, 5, 3, 1], dtype=torch.int32),
    ),
    LayerCase(
        Fill(shape=(3,), alpha=0.5, beta=0.25, dtype=DType.FLOAT32),
        (),
        lambda: torch.tensor([0.5, 0.75, 1.0]),
    ),
    LayerCase(Fill(shape=(3,), alpha=6, beta=0), (), lambda: torch.tensor([6, 6, 6])),
]
