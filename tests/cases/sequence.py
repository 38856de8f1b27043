"""Rows of layers/sequence.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from tests.cases.base import Case, boolean, f32, i64

aten = torch.ops.aten


@dataclass(frozen=True)
class Counting:
    """``arange`` to x's first size, which a symbolic size makes symbolic."""

    start: int
    step: int
    dtype: Any = None

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        end = x.shape[0] * 3 + 1
        return torch.arange(self.start, end, self.step, dtype=self.dtype) + x.shape[0]


def window(x: torch.Tensor) -> torch.Tensor:
    """Places behind a cache whose length varies: how many there are does not."""
    past = x.shape[0]
    return torch.cat([torch.arange(past, past + 3), torch.arange(past + 0.5, past + 2.5)])


INT64 = {"dtype": torch.int64}
F32 = {"dtype": torch.float32}
SQUARE = {(0, 1): "rows", (0, 2): "columns"}

COUNT = {(0, 0): "count"}


def triangle(x: torch.Tensor) -> torch.Tensor:
    """The elements above the diagonal, as pairwise interactions take them."""
    rows, columns = torch.triu_indices(4, 5, offset=1)
    return x[rows, columns]


CASES = [
    Case(Counting(0, 1), f32(4), dynamic=COUNT),
    Case(Counting(1, 2), f32(4), dynamic=COUNT),
    Case(Counting(2, 3, torch.float32), f32(4), dynamic=COUNT),
    Case(window, f32(4), dynamic=COUNT),
    Case(aten.arange.default, 5),
    Case(aten.arange.default, 5.5),
    Case(aten.arange.default, 5, kwargs=F32),
    Case(aten.arange.start, 2, 9),
    Case(aten.arange.start, 0.5, 4, kwargs=F32),
    Case(aten.arange.start_step, 1, 10, 3),
    Case(aten.arange.start_step, 10, -1, -3),
    Case(aten.arange.start_step, 0, 1, 0.25),
    Case(aten.linspace.default, 0, 1, 7),
    Case(aten.linspace.Tensor_Tensor, torch.tensor(-2.5), torch.tensor(7), 6),
    Case(aten.linspace.Tensor_Scalar, torch.tensor(1.5), 3, 1),
    Case(aten.linspace.Scalar_Tensor, 1.5, torch.tensor(3.0), 0),
    Case(aten.linspace.Scalar_Tensor, 0, torch.tensor(9.0), 4, kwargs=INT64),
    Case(aten.linspace.Tensor_Tensor, torch.tensor(4.3), torch.tensor(-2.9), 9, kwargs=INT64),
    Case(aten.logspace.Tensor_Scalar, torch.tensor(4.3), 0, 4, 5.0, kwargs=INT64),
    Case(aten.logspace.default, -1, 2, 7),
    Case(aten.logspace.default, -1, 2, 7, 2.0),
    Case(aten.logspace.Tensor_Tensor, torch.tensor(-1.0), torch.tensor(2.0), 7, 2.0),
    Case(aten.logspace.Scalar_Tensor, -1, torch.tensor(2.0), 7, 2.0),
    Case(aten.linspace.default, -3.0, 5.0, 4, kwargs=F32),
    Case(aten.eye.default, 4),
    Case(aten.eye.default, 3, kwargs={"dtype": torch.bool}),
    Case(aten.eye.m, 3, 5),
    Case(aten.tril.default, f32(4, 4)),
    Case(aten.tril.default, f32(2, 3, 5), 1, dynamic=SQUARE),
    Case(aten.tril.default, boolean(4, 4), -1),
    Case(aten.triu.default, f32(4, 4)),
    Case(aten.triu.default, i64(2, 5, 3), -1, dynamic=SQUARE),
    Case(triangle, f32(4, 5)),
    Case(aten.tril_indices.default, 3, 4, 1),
    Case(aten.triu_indices.default, 4, 3, -1, kwargs={"dtype": torch.int32}),
]
