"""Rows of layers/empty.py: undefined values, so that each is filled before it is compared."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32, i64

aten = torch.ops.aten

X = f32(2, 3, 4)
BATCH = {(0, 0): "batch"}


def like(x: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x).fill_(2) + x


def masked(x: torch.Tensor) -> torch.Tensor:
    """Every undefined element is replaced."""
    return torch.where(torch.ones_like(x, dtype=torch.bool), x, torch.empty_like(x))


CASES = [
    Case(like, X, dynamic=BATCH),
    Case(masked, X),
    Case(lambda x: aten.empty_like.default(x, dtype=torch.int32).zero_(), X, dynamic=BATCH),
    Case(lambda x: aten.new_empty.default(x, [2, 2]).fill_(1) + x.sum(), i64(3)),
    Case(lambda x: aten.new_empty.default(x, [2], dtype=torch.bool).fill_(True), X),
    Case(lambda x: aten.new_empty_strided.default(x, [2, 3], [1, 2]).fill_(1), X),
    Case(lambda x: aten.empty.memory_format([2, 3]).fill_(1) * x[0, 0, 0], X),
    Case(lambda x: aten.empty.memory_format(x.shape[:2], dtype=torch.int64).fill_(3), X),
    Case(lambda x: aten.empty_permuted.default([2, 3], [1, 0]).fill_(1) * x[0, 0, 0], X),
    Case(lambda x: aten.empty_strided.default([2, 3], [3, 1]).fill_(1) * x[0, 0, 0], X),
]
