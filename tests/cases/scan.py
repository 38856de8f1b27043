"""Rows of ``layers/scan.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten
LONG = "numbers beyond int32"
BATCH = {(0, 0): "batch"}
LENGTH = {(0, 0): "batch", (0, 1): "length"}
NAN, INF = float("nan"), float("inf")
MIXED = torch.tensor([[1.0, INF, 2.0, -INF, 3.0], [-INF, -INF, 1.0, NAN, 2.0]])
TIES = torch.tensor([[1.0, 3.0, 3.0, 2.0, 3.0, 0.0], [NAN, 1.0, 5.0, NAN, 7.0, 7.0]])


def position_ids(mask: torch.Tensor) -> torch.Tensor:
    """Positions counted over what a mask leaves, as RoBERTa and OPT count them."""
    return (torch.cumsum(mask, 1).type_as(mask) * mask).long() + 1


CASES = [
    Case(aten.cumsum.default, f32(3, 7), 1, dynamic=LENGTH),
    Case(aten.cumsum.default, f32(2, 3, 9), -2, dynamic=BATCH),
    Case(aten.cumsum.default, i32(2, 5), 1, dynamic=LENGTH),
    Case(aten.cumsum.default, i64(2, 5) * 2**40, 0, gpu=LONG),
    Case(aten.cumsum.default, boolean(3, 6), -1),
    Case(aten.cumsum.default, boolean(2, 3, 4), 1, kwargs={"dtype": torch.float32}),
    Case(aten.cumsum.default, f32(5), 0, kwargs={"dtype": torch.int32}),
    Case(aten.cumsum.default, byte(6), 0),
    Case(aten.cumsum.default, f16(2, 300).abs(), 1, tolerance=1e-3),
    Case(aten.cumsum.default, MIXED, 1),
    Case(aten.cumsum.default, f32(3, 1), 1),
    Case(aten.cumsum.default, i32(), 0),
    Case(aten.cumsum.default, f32(2, 0), 1),
    Case(position_ids, i64(2, 6, low=0, high=2), dynamic=LENGTH),
    Case(aten.cumprod.default, f32(2, 7), -1, dynamic=LENGTH),
    Case(aten.cumprod.default, i32(4, 3, low=-3, high=4), 0, dynamic=BATCH),
    Case(aten.cumprod.default, f16(9) + 1, 0, tolerance=1e-3),
    Case(aten.cumprod.default, boolean(2, 4), 1, kwargs={"dtype": torch.float32}),
    Case(aten.cumprod.default, f32(), 0),
    Case(aten.logcumsumexp.default, f32(3, 8) * 30, 1, dynamic=LENGTH),
    Case(aten.logcumsumexp.default, MIXED, 1),
    Case(aten.logcumsumexp.default, f16(6), 0, tolerance=1e-3),
    Case(aten.logcumsumexp.default, f32(), 0),
    Case(aten.cummax.default, f32(3, 7), 1, dynamic=LENGTH),
    Case(aten.cummax.default, TIES, 1),
    Case(aten.cummax.default, i64(9, 2, low=0, high=4), 0),
    Case(aten.cummax.default, boolean(6), -1),
    Case(aten.cummax.default, f32(), 0),
    Case(aten.cummin.default, f32(3, 7), 0, dynamic=LENGTH),
    Case(aten.cummin.default, TIES, 1),
    Case(aten.cummin.default, i32(2, 9, low=0, high=4), 1, dynamic=BATCH),
]
