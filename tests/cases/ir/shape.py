"""Rows of ``Shape`` and ``Size``."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, boolean, f32
from trtdsl.ir.shape import Shape, Size

CASES = [
    LayerCase(Shape(), (f32(2, 3, 4),), lambda x: torch.tensor([2, 3, 4])),
    LayerCase(Shape(), (boolean(0, 5),), lambda x: torch.tensor([0, 5])),
    LayerCase(Shape(), (torch.tensor(1.0),), lambda x: torch.empty(0, dtype=torch.int64)),
    LayerCase(Size(dims=(2, 7)), (), lambda: torch.tensor([2, 7])),
]
