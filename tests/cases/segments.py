"""Rows of ``layers/segments.py``."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, f16, f32

aten = torch.ops.aten

LENGTHS = torch.tensor([2, 0, 4, 1])
OFFSETS = torch.tensor([0, 3, 3, 7])
ROWS = {(0, 0): "n"}


def by_lengths(data: torch.Tensor, lengths: torch.Tensor, reduce: str, **others: Any) -> Any:
    return aten.segment_reduce.default(data, reduce, lengths=lengths, **others)


def by_offsets(data: torch.Tensor, offsets: torch.Tensor, reduce: str, **others: Any) -> Any:
    return aten.segment_reduce.default(data, reduce, offsets=offsets, **others)


def all_of_a_size(data: torch.Tensor, reduce: str) -> Any:
    """As many in the first segment as the size leaves."""
    lengths = torch.tensor([0, 2, 1], device=data.device)
    first = torch.full((1,), data.shape[0] - 3, device=data.device)
    return aten.segment_reduce.default(data, reduce, lengths=torch.cat([first, lengths]))


CASES = [
    *(
        case
        for reduce in ("sum", "mean", "max", "min", "prod")
        for case in (
            Case(by_lengths, f32(7, 3), LENGTHS, reduce),
            Case(by_lengths, f32(7), LENGTHS, reduce, constants=(1,)),
            Case(by_lengths, f32(7, 3), LENGTHS, reduce, kwargs={"initial": 0.5}),
            Case(by_offsets, f32(7, 2, 3), OFFSETS, reduce, kwargs={"unsafe": True}),
            Case(all_of_a_size, f32(7, 3), reduce, dynamic=ROWS),
        )
    ),
    Case(
        by_lengths,
        f32(2, 7, 3),
        torch.stack([LENGTHS, LENGTHS.flip(0)]),
        "mean",
        kwargs={"axis": 1},
    ),
    Case(by_offsets, f32(1, 7), OFFSETS[None], "max", kwargs={"axis": 1}),
    Case(by_lengths, f32(7, 3), LENGTHS.int(), "sum"),
    Case(by_lengths, f16(7, 3), LENGTHS, "mean", tolerance=2e-3),
]
