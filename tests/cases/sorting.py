"""Rows of ``layers/sorting.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten
LONG = "numbers beyond int32"
BATCH = {(0, 0): "batch"}
LENGTH = {(0, 0): "batch", (0, 1): "length"}
NAN, INF = float("nan"), float("inf")
TIES = torch.tensor([[2, 1, 2, 0, 1, 2], [5, 5, 5, 5, 5, 4], [3, 1, 0, 2, 4, 5]])
LOST = torch.tensor([[1.0, NAN, INF, -INF, 1.0, NAN], [NAN, 3.0, -2.0, 7.0, 3.0, INF]])


def experts(chosen: torch.Tensor) -> torch.Tensor:
    """Tokens by expert and back, as mixtures of experts group them."""
    order = chosen.sort().indices
    back = torch.empty_like(order)
    back[order] = torch.arange(order.shape[0])
    return torch.stack([order, back])


def distinct(*shape: int) -> torch.Tensor:
    """Values of which no two are equal."""
    return f32(*shape).flatten().argsort().reshape(shape).float() / 7 - 3


CASES = [
    Case(aten.topk.default, distinct(3, 5), 2, dynamic=BATCH),
    Case(aten.topk.default, distinct(3, 5), 3, 1),
    Case(aten.topk.default, distinct(3, 5), 2, 0, False),
    Case(aten.topk.default, distinct(3, 5), 2, -1, True, False),
    Case(aten.topk.default, distinct(9), 4),
    Case(aten.topk.default, distinct(9), 1, dynamic={(0, 0): "length"}),
    Case(aten.topk.default, torch.tensor([7, 3, 200], dtype=torch.uint8), 2),
    Case(aten.topk.default, torch.tensor(3.0), 1),
    Case(aten.topk.default, torch.tensor(3), 1),
    Case(aten.topk.default, f32(3), 0),
    Case(aten.topk.default, i64(3, 9, low=-(2**40), high=2**40), 2, dynamic=BATCH, gpu=LONG),
    Case(aten.topk.default, i32(40, 2, low=-999, high=999), 7, 0, False),
    Case(aten.topk.default, distinct(4200), 4000),
    Case(aten.topk.default, distinct(20_000), 4000).raises(r"400000000 comparisons(.|\n)*fix:"),
    Case(aten.sort.default, distinct(3, 7), dynamic=BATCH),
    Case(aten.sort.default, distinct(3, 7), 0, True),
    Case(aten.sort.default, distinct(3, 7), 1, dynamic=LENGTH),
    Case(aten.sort.default, i64(9, low=-(2**40), high=2**40), dynamic={(0, 0): "n"}, gpu=LONG),
    Case(aten.sort.default, i64(9, low=-999, high=999), dynamic={(0, 0): "n"}),
    Case(aten.topk.default, i64(3, 9, low=-999, high=999), 2, dynamic=BATCH),
    Case(aten.sort.default, TIES, -1, True),
    Case(aten.sort.default, distinct(4100)),
    Case(aten.sort.default, torch.tensor([200, 3, 7], dtype=torch.uint8)),
    Case(aten.sort.default, torch.tensor(3.0)),
    Case(aten.sort.default, f32(2, 0)),
    Case(aten.sort.default, f32(2, 1), 1),
    Case(aten.sort.stable, TIES, kwargs={"stable": True}, dynamic=BATCH),
    Case(aten.sort.stable, TIES.float(), kwargs={"stable": True, "descending": True}),
    Case(aten.sort.stable, TIES.half(), kwargs={"stable": True, "dim": 0}),
    Case(aten.sort.stable, LOST, kwargs={"stable": True}),
    Case(aten.sort.stable, LOST, kwargs={"stable": True, "descending": True}),
    Case(aten.sort.stable, boolean(3, 6), kwargs={"stable": True, "dim": 1}),
    Case(aten.sort.stable, byte(3, 6), kwargs={"stable": None}),
    Case(aten.argsort.default, distinct(3, 7), 1),
    Case(aten.argsort.default, TIES, 1, True, dynamic=LENGTH),
    Case(aten.argsort.stable, TIES, kwargs={"stable": True, "dim": 0}),
    Case(aten.argsort.stable, boolean(2, 9), kwargs={"stable": True}),
    Case(aten.msort.default, f16(5, 3), dynamic=BATCH),
    Case(experts, i64(8, low=0, high=4), dynamic={(0, 0): "tokens"}),
    Case(aten.kthvalue.default, distinct(3, 7), 3, dynamic=BATCH),
    Case(aten.kthvalue.default, distinct(5, 3), 2, 0, True, dynamic={(0, 1): "n"}),
    Case(aten.kthvalue.default, TIES[2:] * 2**40, 4, gpu=LONG),
    Case(aten.kthvalue.default, torch.tensor(3.0), 1),
    Case(aten.median.default, f32(3, 5), dynamic=LENGTH),
    Case(aten.median.default, i64(8)),
    Case(aten.median.default, LOST),
    Case(aten.median.default, f32(0)),
    Case(aten.median.dim, distinct(3, 7), 1, dynamic=LENGTH),
    Case(aten.median.dim, distinct(4, 6), 0, True, dynamic=BATCH),
    Case(aten.median.dim, LOST, 1),
    Case(aten.median.dim, TIES[2:], 1),
    Case(aten.median.dim, f32(), 0),
    Case(aten.nanmedian.default, LOST),
    Case(aten.nanmedian.dim, LOST[:, 1:4], 1),
    Case(aten.nanmedian.dim, torch.full((2, 3), NAN), 1, True),
    Case(aten.nanmedian.dim, distinct(3, 7), 1, dynamic=LENGTH),
    Case(aten.nanmedian.dim, TIES[2:], 1),
    Case(aten.mode.default, TIES, dynamic=BATCH),
    Case(aten.mode.default, TIES.float(), 1, True, dynamic=LENGTH),
    Case(aten.mode.default, i64(9, 2, low=0, high=3), 0),
    Case(aten.mode.default, boolean(2, 7)),
    Case(aten.mode.default, torch.full((2, 3), NAN)),
    Case(aten.mode.default, f32()),
]
