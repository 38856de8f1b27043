"""Rows of ``layers/indexing.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f32, i32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}
END = 2**63 - 1
MIXED = torch.tensor([[0, -1, 2], [1, 0, -3]])


def parts(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Slices whose ends and lengths follow from a size."""
    n = x.shape[0]
    x = torch.cat([x, x, x, x])
    return x[1:], x[:-1], x[1:-1:2], x[-2:], x[n:], x[: 2 * n], x[n : n + 2], x[2 * n - 1]


def positions(x: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """The first rows of a table of fixed size, as position embeddings are taken."""
    return x + table[: x.shape[0]]


def lines(x: torch.Tensor, places: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The same places of all lines, of fewer lines than there are, and of other axes."""
    middle, last = places[None, :, None], places.expand(*x.shape[:-1], -1)
    return (
        x.gather(1, middle.expand(x.shape[0], -1, x.shape[2])),
        x.gather(1, middle.repeat(1, 1, 3)),
        x.gather(-1, last),
        x.gather(1, middle.expand(1, -1, 2)),
    )


def of_each(x: torch.Tensor) -> torch.Tensor:
    """A number that is read of a table which is repeated for each of the batch."""
    table = torch.arange(4).unsqueeze(0).expand(x.shape[0], 4)
    return torch.ones(1, 1, 1).repeat(x.shape[0], table[0].max() + 1, 1) * x[:, None]


CASES = [
    Case(of_each, f32(2, 3), dynamic=BATCH),
    Case(aten.select.int, f32(2, 3, 4), 1, 2, dynamic=BATCH),
    Case(aten.select.int, f32(2, 3, 4), 0, -1, dynamic=BATCH),
    Case(aten.select.int, i64(2, 3), -1, 0),
    Case(aten.select.int, boolean(3), 0, 1),
    Case(aten.slice.Tensor, f32(4, 5), 0, 1, 3),
    Case(aten.slice.Tensor, f32(4, 5), 1, 1, END, 2, dynamic=BATCH),
    Case(aten.slice.Tensor, f32(4, 5), 1, -3, -1),
    Case(aten.slice.Tensor, f32(4, 5), -1, -9, 9),
    Case(aten.slice.Tensor, f32(4, 5), 0, 3, 1),
    Case(aten.slice.Tensor, f32(4, 5), 0, 7, 9),
    Case(aten.slice.Tensor, f32(4, 5), 1, None, None),
    Case(parts, f32(5, 6), dynamic=BATCH),
    Case(positions, f32(5, 6), f32(64, 6), constants=(1,), dynamic=BATCH),
    Case(aten.slice.Tensor, i64(4, 5), 1, 2, END),
    Case(aten.slice.Tensor, boolean(6), 0, 1, 6, 3),
    Case(aten.narrow.default, f32(4, 5), 1, 2, 3, dynamic=BATCH),
    Case(aten.narrow.default, f32(4, 5), 0, -2, 2),
    Case(aten.index_select.default, f32(4, 5), 1, i64(3, low=0, high=5), dynamic={(1, 0): "n"}),
    Case(aten.index_select.default, f32(4, 5), -2, i32(6, low=0, high=4)),
    Case(aten.index_select.default, i64(4), 0, torch.tensor(2)),
    Case(aten.index_select.default, f32(), 0, torch.tensor([0])),
    Case(aten.gather.default, f32(3, 4), 1, i64(3, 2, low=0, high=4)),
    Case(
        aten.gather.default,
        f32(3, 4),
        -1,
        i64(3, 2, low=0, high=4),
        dynamic={(0, 0): "n", (1, 0): "n"},
    ),
    Case(aten.gather.default, i64(3, 4, 2), 0, i64(5, 2, 1, low=0, high=3)),
    Case(lines, f32(2, 5, 5), i64(7, low=0, high=5), dynamic={(0, 0): "batch", (1, 0): "n"}),
    Case(aten.gather.default, f32(4), 0, torch.tensor(2)),
    Case(aten.gather.default, f32(4), 0, torch.zeros(2, 0, dtype=torch.uint8)),
    Case(aten.gather.default, f32(3, 4), 0, i64(2, 4, low=0, high=3), kwargs={"sparse_grad": True}),
    Case(aten.take_along_dim.default, f32(3, 4), i64(3, 2, low=0, high=4), 1),
    Case(aten.take_along_dim.default, f32(3, 4), i64(1, 2, low=0, high=4), -1),
    Case(aten.take_along_dim.default, f32(3, 4), i64(5, low=0, high=12)),
    Case(aten.index.Tensor, f32(3, 4), [MIXED], dynamic={(1, 1): "n"}),
    Case(aten.index.Tensor, f32(3, 4), [None, MIXED], dynamic=BATCH),
    Case(aten.index.Tensor, f32(2, 4, 3), [None, None, MIXED[0]]),
    Case(aten.index.Tensor, f32(3, 3), [MIXED, MIXED.flip(0)]),
    Case(aten.index.Tensor, f32(2, 3, 4), [None, MIXED[0], MIXED[1]], dynamic=BATCH),
    Case(aten.index.Tensor, f32(3, 2, 4), [MIXED[0], None, MIXED[1]], dynamic={(0, 1): "n"}),
    Case(aten.index.Tensor, f32(5, 3, 4), [None, MIXED, MIXED[:, :1]]),
    Case(aten.index.Tensor, boolean(3, 4), [MIXED[:, :1], MIXED[0]], dynamic=BATCH),
    Case(aten.index.Tensor, f32(3, 3, 3), [MIXED[0], MIXED[0], MIXED[1]]),
    Case(aten.index.Tensor, i64(5, 3), [torch.tensor(-2)]),
    Case(aten.index.Tensor, f32(5, 3), [torch.tensor([4, 0], dtype=torch.int32)]),
    Case(aten._unsafe_index.Tensor, f32(3, 4), [None, MIXED]),
    Case(aten.one_hot.default, i64(2, 3, low=0, high=5), 5, dynamic=BATCH),
    Case(aten.linalg_diagonal.default, f32(5, 3, 4), dynamic=BATCH),
    Case(aten.linalg_diagonal.default, f32(4, 3, 2), kwargs={"offset": -1, "dim1": 0}),
    Case(aten.diagonal.default, f32(3, 4)),
    Case(aten.diagonal.default, f32(2, 3, 4), 1, 1, 2, dynamic=BATCH),
    Case(aten.diagonal.default, f32(4, 3, 2), -2, 0, -1),
    Case(aten.diagonal.default, f32(3, 4), dynamic=BATCH),
    Case(lambda x: (x @ x.mT).diagonal(), f32(3, 4), dynamic=BATCH),
    Case(aten.meshgrid.indexing, [f32(2), f32(3), f32(4)], kwargs={"indexing": "ij"}),
    Case(
        aten.meshgrid.indexing,
        [f32(2), i64(3).float()],
        kwargs={"indexing": "xy"},
        dynamic={(0, 0): "w"},
    ),
]
