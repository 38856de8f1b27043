"""Rows of ``layers/quantile.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}
LENGTH = {(0, 0): "batch", (0, 1): "length"}
NAN, INF = float("nan"), float("inf")
LOST = torch.tensor([[1.0, NAN, 3.0, -2.0, 7.0], [4.0, 3.0, -2.0, 7.0, INF]])
Q = torch.tensor([0.0, 0.3, 0.5, 0.99, 1.0])


def how(name: str) -> dict[str, str]:
    return {"interpolation": name}


NAMES = ("linear", "lower", "higher", "midpoint", "nearest")

CASES = [
    *(Case(aten.quantile.default, f32(3, 8), Q, 1, kwargs=how(n), dynamic=BATCH) for n in NAMES),
    *(Case(aten.nanquantile.default, LOST, Q, 1, True, kwargs=how(n)) for n in NAMES),
    Case(aten.quantile.default, f32(3, 8), Q, 1, dynamic=LENGTH),
    Case(aten.quantile.default, f32(3, 4, 2), Q, 1, True, dynamic=BATCH),
    Case(aten.quantile.default, f32(3, 4), Q, constants=(1,)),
    Case(aten.quantile.default, f32(3, 4), torch.tensor(0.4), None, True),
    Case(aten.quantile.default, LOST, Q, 1),
    Case(aten.quantile.scalar, f32(3, 5), 0.25, 0, dynamic=LENGTH),
    Case(aten.quantile.scalar, f32(3, 5), 0.6, kwargs=how("nearest")),
    Case(aten.quantile.scalar, f32(), 0.5),
    Case(aten.nanquantile.default, LOST, Q[:2], 0),
    Case(aten.nanquantile.default, torch.full((2, 3), NAN), Q),
    Case(aten.nanquantile.default, f32(3, 6), Q, 1, dynamic=LENGTH),
    Case(aten.nanquantile.scalar, LOST, 0.5, 1, dynamic=BATCH),
]
