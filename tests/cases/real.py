"""Rows of numbers made of sizes that are no sizes: fractions, roots, comparisons."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tests.cases.base import Case, f32, i64

X = f32(4, 6)
BATCH = {(0, 0): "batch"}


def by(function: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor = X) -> Case:
    return Case(function, x, dynamic=BATCH)


CASES = [
    by(lambda x: x * (x.shape[0] / 3)),
    by(lambda x: x - (x.shape[0] - 1) / 2),
    by(lambda x: x * x.shape[0] ** 0.5),
    by(lambda x: x / x.shape[0] ** -0.5),
    by(lambda x: x * (x.shape[0] // 3)),
    by(lambda x: x * torch.sym_max(x.shape[0] / 2, 2.5)),
    by(lambda x: x * torch.sym_float(x.shape[0])),
    by(lambda x: x + torch.sym_float(x.shape[0]), i64(4, 6)),
    by(lambda x: x + torch.sym_float(x.shape[0] * 2) / 2, i64(4, 6)),
    by(lambda x: x + x.shape[0], i64(4, 6)),
    by(lambda x: x + (x.shape[0] > 4)),
    by(lambda x: x * torch.sym_ite(x.shape[0] > 4, 1, 2)),
    by(lambda x: x * (x.shape[0] << 1) - (x.shape[0] >> 1)),
    by(lambda x: x.clamp(min=-x.shape[0] / 10, max=x.shape[0] / 10)),
    by(lambda x: torch.full((3,), x.shape[0] / 7) + x[0, 0]),
    by(lambda x: torch.full((3,), x.shape[0]) + x[0, 0]),
    by(lambda x: torch.tensor(x.shape[0] / 7) * x),
    by(lambda x: torch.where(x > 0, x, x.shape[0] / 3)),
    by(lambda x: torch.arange(0.5, x.shape[0] + 0.5) + x[0, 0]),
    by(lambda x: torch.linspace(0.25, x.shape[0] - 0.5, 7) + x[0, 0]),
    by(lambda x: x ** torch.sym_float(x.shape[0] * 2), f32(4, 6, low=0.5)),
]
