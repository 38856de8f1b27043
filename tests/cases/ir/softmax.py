"""Rows of the SoftMax layer."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.softmax import SoftMax

CASES = [
    LayerCase(SoftMax(axis=0), (f32(7),), lambda x: torch.softmax(x, 0)),
    LayerCase(
        SoftMax(axis=1), (f32(2, 5, 3),), lambda x: torch.softmax(x, 1), symbolic={(0, 1): "n"}
    ),
    LayerCase(
        SoftMax(axis=2), (f32(2, 5, 3) * 100,), lambda x: torch.softmax(x.double(), 2).float()
    ),
    LayerCase(SoftMax(axis=3), (f16(2, 2, 3, 4),), lambda x: torch.softmax(x, 3), tolerance=1e-3),
]
