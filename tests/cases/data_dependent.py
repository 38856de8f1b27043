"""Rows of converters whose results have sizes that values decide, or that read a number."""

from __future__ import annotations

import math
from typing import Any

import torch

from tests.cases.base import Case, boolean, byte, f32, i64

ALONE = "its size depends on values: tests/gpu/test_data_dependent.py"


def row(operator: Any, *args: Any, **options: Any) -> Case:
    return Case(operator, *args, gpu=ALONE, **options)


aten = torch.ops.aten
VECTOR, MATRIX = {(0, 0): "n"}, {(0, 0): "n", (0, 1): "m"}


def masked(x: torch.Tensor, *indices: torch.Tensor | None) -> torch.Tensor:
    return aten.index.Tensor(x, list(indices))


def picked(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    """Calls item() for a size with bounds."""
    n = aten.item.default(i)
    torch._check(n >= 2)
    torch._check(n <= 5)
    return torch.cat([x[:n] * n, torch.arange(n) + n, torch.zeros(n - 2), x.new_full((1,), n)])


def halved(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    """Calls item() for numbers to compute with."""
    a, b = aten._local_scalar_dense.default(x.sum()), aten.item.default(i.sum())
    return torch.cat([x * (a / 2) - (a + 1), x.new_full((2,), a), x * b])


def best(x: torch.Tensor, mask: torch.Tensor, *, largest: bool = True) -> Any:
    """The three first of what a mask leaves, or all where it leaves fewer."""
    kept = x[mask]
    return aten.topk.default(kept, torch.sym_min(3, kept.shape[0]), 0, largest)


def worst(x: torch.Tensor, mask: torch.Tensor) -> Any:
    return best(x, mask, largest=False)


def put_back(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What a mask leaves, changed, in its places again: none where it leaves nothing."""
    return aten.masked_scatter.default(x, mask, x[mask] * 2 + 1)


def raised(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """``x[mask] += ...``."""
    return aten.index_put.default(x, [mask], x[mask] * 2 + 1)


def ragged(x: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows in groups of lengths that are read: their sums, and all of them again."""
    parts = aten.split_with_sizes.default(x, lengths.tolist())
    return torch.stack([p.sum(0) for p in parts]), torch.cat([p * i for i, p in enumerate(parts)])


def placed(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Rows that an index of rank 0 names, from either end, and computed ones."""
    n = i[0].item()
    parts = torch.narrow(x, 0, i[2].item(), 2)
    return x[i[0]], x[..., i[1]], x[n + 1] * (n * 2 - 1), x + n // 2 + n % 3, parts


def cut(x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Slices whose ends are read, from the front or the end, inside or beyond."""
    n = i[0].item()
    return x[i[0] :], x[:, 1 : i[1]], x[..., n : n + 2].sum(-1), x[n::2] * 2


def written(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    """A row replaced that an index of rank 0 names."""
    x = x.clone()
    x[i[0].item()] += 1
    return torch.select_scatter(x, x[0] * 2, 0, i[1].item())


INFINITE = torch.tensor([-math.inf, 3.0, -math.inf, 7.0, math.inf])

CASES = [
    row(best, f32(9), boolean(9), dynamic={(0, 0): "n", (1, 0): "n"}),
    row(best, INFINITE, torch.tensor([True, True, False, False, False])),
    row(best, INFINITE, torch.tensor([False, False, False, False, False])),
    row(worst, f32(9), boolean(9)),
    row(worst, INFINITE, torch.tensor([True, False, False, False, True])),
    row(put_back, f32(9), boolean(9), dynamic={(0, 0): "n", (1, 0): "n"}),
    row(put_back, f32(2, 3), torch.zeros(2, 3, dtype=torch.bool)),
    row(raised, f32(9, 4), boolean(9), dynamic={(0, 0): "n", (1, 0): "n"}),
    row(raised, f32(2, 3), torch.zeros(2, dtype=torch.bool)),
    row(ragged, f32(6, 4), torch.tensor([1, 3, 0, 2])),
    row(ragged, f32(6, 4), torch.tensor([0, 0, 6])),
    row(aten.nonzero.default, f32(3, 4).relu(), dynamic=MATRIX),
    row(aten.nonzero.default, boolean(5), dynamic=VECTOR),
    row(aten.nonzero.default, i64(2, 3, 2, low=-1, high=2)),
    row(aten.nonzero.default, torch.tensor(3)),
    row(aten.nonzero.default, torch.tensor(0.0)),
    row(aten.nonzero.default, torch.zeros(2, 3)),
    row(aten.nonzero.default, byte(7) // 100),
    row(aten.argwhere.default, boolean(3, 4)),
    row(aten.nonzero_numpy.default, boolean(3, 4)),
    row(aten.nonzero_numpy.default, torch.tensor(True)),
    row(aten.where.default, boolean(3, 4), dynamic=MATRIX),
    row(aten.masked_select.default, f32(3, 4), boolean(3, 4)),
    row(aten.masked_select.default, f32(3, 4), boolean(4), dynamic={(0, 0): "n"}),
    row(aten.masked_select.default, i64(4), boolean(2, 3, 1)),
    row(aten.masked_select.default, f32(1, 4), boolean(3, 1)),
    row(masked, f32(3, 4), boolean(3, 4), dynamic={**MATRIX, (1, 0): "n", (1, 1): "m"}),
    row(masked, f32(3, 4, 2), boolean(3, 4)),
    row(masked, f32(3, 4, 2), boolean(3)),
    row(masked, f32(3, 4, 2), None, boolean(4), dynamic={(0, 0): "n"}),
    row(masked, f32(3, 4, 2), boolean(3, 4), torch.tensor([1])),
    row(masked, f32(3, 4, 2), torch.tensor([[2]]), None, boolean(2)),
    row(picked, f32(9), torch.tensor(4)),
    row(picked, f32(9), torch.tensor([[2]])),
    row(halved, f32(3), i64(3)),
    Case(placed, f32(4, 5), torch.tensor([2, -1, 1]), dynamic={(0, 0): "n", (0, 1): "m"}),
    Case(placed, f32(4, 5), torch.tensor([-3, 0, 2])),
    Case(
        written,
        f32(4, 5),
        torch.tensor([2, -1]),
        dynamic={(0, 0): "n"},
    ),
    row(cut, f32(4, 5), torch.tensor([1, 3]), dynamic={(0, 0): "n"}),
    row(cut, f32(4, 5), torch.tensor([-2, 9])),
    row(cut, i64(4, 5), torch.tensor([-9, -1])),
    row(cut, f32(4, 5), torch.tensor([3, 0])),
]
