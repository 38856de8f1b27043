"""Rows of layers/strided.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32, i64

aten = torch.ops.aten

X = f32(4, 6)
BATCH = {(0, 0): "batch"}


def of_transposed(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).t().as_strided((3, 4), (1, 3), 2)


def of_slice(x: torch.Tensor) -> torch.Tensor:
    return (x * 2)[1:, 2:].as_strided((2, 5), (6, 1))


def of_whole_from_slice(x: torch.Tensor) -> torch.Tensor:
    return (x * 2)[1:].as_strided((2, 2), (1, 2), 0)


def of_channels_last(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).contiguous(memory_format=torch.channels_last).as_strided((5, 3), (3, 1), 6)


def of_expanded(x: torch.Tensor) -> torch.Tensor:
    return x.expand(4, 4).contiguous().as_strided((2, 3), (1, 5))


def windows(x: torch.Tensor) -> torch.Tensor:
    """Overlapping windows of each row, as Longformer makes them."""
    x = x.contiguous()
    batch, length = x.shape
    return x.as_strided((batch, length // 2 - 1, 4), (length, 2, 1))


CASES = [
    Case(aten.as_strided.default, X, [4, 6], [6, 1]),
    Case(aten.as_strided.default, X, [2, 6], [6, 1], 6),
    Case(aten.as_strided.default, X, [6, 4], [1, 6]),
    Case(aten.as_strided.default, X, [3, 4, 2], [2, 3, 5], 1),
    Case(aten.as_strided.default, X, [3, 4], [0, 1]),
    Case(aten.as_strided.default, X, [], [], 7),
    Case(aten.as_strided.default, X, [0, 4], [1, 1]),
    Case(aten.as_strided.default, i64(12), [3, 1, 2], [2, 9, 1], 3),
    Case(aten.as_strided_copy.default, X, [2, 2], [1, 2]),
    Case(of_transposed, X),
    Case(of_slice, X),
    Case(of_whole_from_slice, X),
    Case(of_channels_last, f32(2, 3, 4, 5)),
    Case(of_expanded, f32(4, 1)),
    Case(windows, f32(3, 8), dynamic=BATCH),
    Case(windows, f32(3, 8), dynamic={(0, 1): "length"}),
    Case(aten.as_strided_scatter.default, X, f32(2, 2), [2, 2], [1, 2]),
    Case(aten.as_strided_scatter.default, X, f32(2, 2), [2, 2], [6, 2], 3),
    Case(aten.as_strided_scatter.default, i64(4, 6), i64(2), [2], [5]),
]
