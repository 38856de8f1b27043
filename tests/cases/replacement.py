"""Rows of ``layers/replacement.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, byte, f16, f32, i32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}
END = 2**63 - 1
MIXED = torch.tensor([[0, -1], [1, -3]])
ORDER = torch.tensor([3, 0, -3])
TWICE = torch.tensor([1, 3, 1, -3, 0, 1])
MASK = torch.tensor([True, False, True, True, False])


def every_other(x: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    """Every other slice replaced, of a size that is only known when the engine runs."""
    x = x.clone()
    x[:, 1:-1:2] = source[:, 1:-1:2]
    return x


def masked(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Masks as models assign with them."""
    x = x.clone()
    x[mask] = 0.5
    x[:, 0] = 2.0
    x[..., -1] += 1
    return x


CASES = [
    Case(aten.select_scatter.default, f32(3, 4), f32(4), 0, 1),
    Case(aten.select_scatter.default, f32(3, 4), f32(3), 1, -1, dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.select_scatter.default, f32(4, 3), f32(3), 0, 2, dynamic={(0, 0): "n"}),
    Case(aten.slice_scatter.default, f32(3, 6), f32(3, 2), 1, 1, 3),
    Case(
        aten.slice_scatter.default,
        f32(3, 6),
        f32(3, 6, seed=1),
        1,
        0,
        64,
        dynamic={(0, 1): "n", (1, 1): "n"},
    ),
    Case(
        aten.slice_scatter.default,
        f32(3, 6),
        f32(3, 3),
        1,
        1,
        END,
        2,
        dynamic={(0, 0): "n", (1, 0): "n"},
    ),
    Case(aten.slice_scatter.default, f32(3, 6), f32(3, 6), 1),
    Case(aten.slice_scatter.default, f32(5, 2), f32(2, 2), 0, -2, END),
    Case(every_other, f32(3, 7), f32(3, 7, seed=1), dynamic={(0, 1): "n", (1, 1): "n"}),
    Case(masked, f32(5, 3), MASK, dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.diagonal_scatter.default, f32(3, 4), f32(3)),
    Case(aten.diagonal_scatter.default, f32(5, 4), f32(3), -2),
    Case(
        aten.diagonal_scatter.default,
        f32(2, 3, 4),
        f32(2, 3),
        1,
        1,
        2,
        dynamic={(0, 0): "b", (1, 0): "b"},
    ),
    Case(aten.diagonal_scatter.default, i64(4, 3, 2), i64(3, 2), 0, -1, 0),
    Case(aten.masked_scatter.default, f32(5), MASK, f32(3, seed=1)),
    Case(aten.masked_scatter.default, f32(3, 5), MASK, f32(60, seed=1), dynamic=BATCH),
    Case(aten.masked_scatter.default, i64(2, 3), boolean(2, 3), i64(9, seed=1)),
    Case(aten.masked_scatter.default, f16(3), boolean(4, 3), f16(12, seed=1)),
    Case(aten.take.default, f32(3, 4), i64(2, 3, low=-12, high=12), dynamic={(1, 0): "n"}),
    Case(aten.take.default, f32(3, 4), torch.tensor(5), dynamic=BATCH),
    Case(aten.put.default, f32(3, 4), torch.tensor([[0, -1], [5, 6]]), f32(2, 2, seed=1)),
    Case(aten.put.default, i64(3, 4), TWICE, i64(6, seed=1), True, dynamic=BATCH),
    Case(aten.put.default, f32(), torch.tensor([0]), f32(1, seed=1)),
    Case(aten.index_put.default, f32(5, 3), [ORDER], f32(3, 3, seed=1), dynamic=BATCH),
    Case(aten.index_put.default, f32(5, 3), [ORDER], f32(1, seed=1)),
    Case(aten.index_put.default, f32(5, 3), [ORDER], f32(), dynamic={(1, 0): "n"}),
    Case(
        aten.index_put.default,
        f32(2, 5, 3),
        [None, ORDER],
        f32(2, 3, 3),
        dynamic={(0, 0): "b", (2, 0): "b"},
    ),
    Case(aten.index_put.default, f32(4, 5, 3), [MIXED, None, MIXED], f32(2, 2, 5, seed=1)),
    Case(
        aten.index_put.default, f32(2, 4, 3), [None, MIXED, MIXED], f32(2, 1, seed=1), dynamic=BATCH
    ),
    Case(aten.index_put.default, i64(4, 5), [ORDER[:, None], ORDER[:2]], i64(3, 2, seed=1)),
    Case(aten.index_put.default, boolean(4), [ORDER], torch.tensor(True)),
    Case(aten.index_put.default, byte(4), [ORDER], byte(3, seed=1)),
    Case(aten.index_put.default, i32(4, 2), [torch.tensor(-1)], i32(2, seed=1)),
    Case(
        aten.index_put.default,
        f32(4, 3),
        [TWICE],
        f32(6, 3, seed=1),
        True,
        dynamic={(1, 0): "n", (2, 0): "n"},
    ),
    Case(aten.index_put.default, f32(4, 4), [TWICE, TWICE], f32(1, seed=1), True),
    Case(aten.index_put.default, i64(2, 4), [None, TWICE], i64(6, seed=1), True, dynamic=BATCH),
    Case(aten.index_put.default, f16(4), [TWICE], f16(6, seed=1), True, tolerance=1e-3),
    Case(aten.index_put.default, f32(5, 3), [MASK], f32(), dynamic={(0, 0): "n", (1, 0): "n"}),
    Case(aten.index_put.default, f32(5, 3), [MASK], f32(3)),
    Case(aten.index_put.default, f32(5, 3), [MASK], f32(3, 3, seed=1)),
    Case(aten.index_put.default, f32(5, 3), [MASK], f32(3, 1, seed=1), True),
    Case(aten.index_put.default, f32(2, 5, 3), [None, MASK], f32(2, 3, 3, seed=1)),
    Case(aten.index_put.default, f32(2, 5, 3), [None, MASK], f32(2, 1, 3, seed=1)),
    Case(aten.index_put.default, f32(3, 5), [MASK.expand(3, 5).contiguous()], f32(9, seed=1)),
    Case(aten.index_put.default, f32(5, 3), [MASK, torch.tensor(0)], f32()).raises("a mask beside"),
    Case(aten._unsafe_index_put.default, f32(5, 3), [ORDER], f32(3, 3, seed=1)),
]
