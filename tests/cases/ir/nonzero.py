"""Rows of NonZero: numpy says where elements are true."""

from __future__ import annotations

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean
from trtdsl.ir.nonzero import NonZero

ALONE = "its size depends on values: tests/gpu/test_data_dependent.py"


def numpy(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(np.stack(np.nonzero(x.numpy()))).int()


def row(x: torch.Tensor) -> LayerCase:
    return LayerCase(NonZero(count=int(x.sum())), (x,), numpy, gpu=ALONE)


CASES = [
    row(boolean(7)),
    row(boolean(3, 4)),
    row(boolean(2, 3, 2, 2)),
    row(torch.zeros(4, dtype=torch.bool)),
    row(torch.ones(2, 2, dtype=torch.bool)),
]
