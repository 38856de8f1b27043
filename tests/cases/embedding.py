"""Rows of the embeddings and bags of embeddings."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.cases.base import Case, f16, f32, i32, i64
from tests.cases.pooling import First

aten = torch.ops.aten

TABLE = f32(7, 4)
LENGTHS = {(0, 0): "batch", (0, 1): "length"}

EMBEDDING = [
    Case(aten.embedding.default, TABLE, i64(2, 3, low=0, high=7), constants=(0,)),
    Case(aten.embedding.default, TABLE, i64(2, 3, low=0, high=7), 0, constants=(0,),
         dynamic=LENGTHS),
    Case(aten.embedding.default, f16(7, 4), i32(5, low=0, high=7), 1, True, False),
    Case(aten.embedding.default, TABLE, torch.tensor(3), constants=(0,)),
    Case(aten.embedding.default, TABLE, i64(2, 0, low=0, high=7), constants=(0,)),
    Case(aten.embedding.default, i64(7, 4), i32(2, 1, 2, low=0, high=7), -1),
    Case(aten.embedding.default, TABLE, torch.tensor([[6, 0]]), constants=(0, 1)),
]  # fmt: skip

INDICES = i64(8, low=0, high=7)
EVEN, UNEVEN = torch.tensor([0, 2, 4, 6]), torch.tensor([0, 0, 3, 4])
ENDS = torch.tensor([0, 3, 3, 8])
bag, padded = First(aten.embedding_bag.default), First(aten.embedding_bag.padding_idx)
inner, forward = First(aten._embedding_bag.default), First(aten._embedding_bag_forward_only.default)
SUM, MEAN, MAX = range(3)


def of_rows(mode: str) -> object:
    """Bags of one length, as nn.EmbeddingBag makes of a matrix of indices."""

    def call(indices: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
        return F.embedding_bag(indices, table, mode=mode, padding_idx=0)

    return call


BAGS = [
    *(
        Case(bag, TABLE, INDICES, offsets, False, mode, constants=(0, 2))
        for mode in (SUM, MEAN, MAX)
        for offsets in (EVEN, UNEVEN)
    ),
    *(
        Case(padded, TABLE, INDICES, UNEVEN, False, mode, False, None, False, int(INDICES[0]),
             constants=(0,), dynamic={(0, 0): "n"})
        for mode in (SUM, MEAN, MAX)
    ),
    *(
        Case(padded, TABLE, INDICES, ENDS, False, mode, False, None, True, -2, constants=(0,))
        for mode in (SUM, MEAN, MAX)
    ),
    Case(bag, TABLE, INDICES, EVEN, constants=(0,), dynamic={(0, 0): "n"}),
    Case(bag, TABLE, INDICES, UNEVEN, False, SUM, False, f32(8), constants=(0, 2)),
    Case(bag, TABLE, INDICES, EVEN, False, SUM, False, f32(8)),
    Case(bag, TABLE, INDICES, EVEN[:1], False, MAX, constants=(0,)),
    Case(bag, TABLE, INDICES.int(), UNEVEN.int(), False, MEAN, constants=(0,)),
    Case(bag, TABLE, INDICES[:0], torch.tensor([0, 0]), False, MAX, constants=(0,)),
    Case(bag, f16(7, 4), INDICES, EVEN, False, MEAN, constants=(0,), tolerance=2e-3),
    Case(inner, TABLE, INDICES, ENDS, False, SUM, False, None, True, 3, constants=(0, 2)),
    Case(inner, TABLE, INDICES, UNEVEN, False, MEAN),
    Case(forward, TABLE, INDICES, EVEN, False, MAX, False, None, False, 3),
    Case(of_rows("mean"), i64(3, 5, low=0, high=7), TABLE, constants=(1,), dynamic=LENGTHS),
    Case(of_rows("max"), i64(3, 5, low=0, high=7), TABLE, constants=(1,), dynamic={(0, 0): "n"}),
    Case(aten.embedding_bag.default, TABLE, INDICES, EVEN).raises("keeps for its gradient"),
]  # fmt: skip

CASES = EMBEDDING + BAGS
