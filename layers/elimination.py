"""Small systems of linear equations, solved by elimination that is written out step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import where

from .function import absolute
from .linear import multiply
from .selection import argmax

__all__ = ["LARGEST", "Elimination", "eliminate", "require_small", "triangle"]

LARGEST = 16
"""The most rows of a matrix: each adds about 15 layers to the network."""


@dataclass(frozen=True, kw_only=True)
class Elimination:
    """What Gauss and Jordan make of ``[A | B]``: ``[1 | A ** -1 @ B]``."""

    solution: Tensor
    """``(*S, n, k)``."""
    pivots: tuple[Tensor, ...]
    """What A's rows were divided by, each ``(*S, 1, 1)``."""
    swaps: tuple[Tensor, ...]
    """Whether a row went to another place, each bool ``(*S, 1, 1)``."""


def require_small(x: Tensor, what: str) -> int:
    """The size of square matrices. Errors: ConversionError for one above ``LARGEST``."""
    size = x.shape[-1]
    if isinstance(size, int) and size <= LARGEST:
        return size
    raise ConversionError(
        explain(
            f"{what} of {x.type}: TensorRT has no such layer, and elimination is written out for "
            f"static sizes up to {LARGEST}",
            fix="compute it outside of the model, and pass it as an input or a buffer",
        )
    )


def eliminate(a: Tensor, b: Tensor | None = None) -> Elimination:
    """Elimination with the largest pivot of each column: ``(*S, n, n), (*S, n, k)``."""
    size = a.shape[-1]
    table = a if b is None else Concatenation(axis=a.rank - 1)(a, b)
    net = table.network
    rows = net.constant(torch.arange(size)[:, None])
    pivots, swaps = [], []
    for k in range(size):
        column = section(table, table.rank - 1, k, 1)
        below = section(absolute(column), table.rank - 2, k, size - k)
        place = argmax(below, -2, True) + k
        chosen, own = rows.equal(place), net.constant(torch.arange(size)[:, None] == k)
        best = _sum_of_rows(where(chosen, table, 0.0, table.dtype))
        pivot = section(best, best.rank - 1, k, 1)
        table = where(chosen, section(table, table.rank - 2, k, 1), table, table.dtype)
        row = best / pivot
        rest = table - section(table, table.rank - 1, k, 1) * row
        table = where(own, row, rest, table.dtype)
        pivots.append(pivot)
        swaps.append(~place.equal(k))
    width = table.shape[-1] - size
    solution = section(table, table.rank - 1, size, width) if width else table
    return Elimination(solution=solution, pivots=tuple(pivots), swaps=tuple(swaps))


def triangle(a: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Cholesky's lower triangle of ``(*S, n, n)``, and its squared pivots, each ``(*S, 1, 1)``."""
    size, net = a.shape[-1], a.network
    columns, squares = [], []
    for k in range(size):
        column = section(a, a.rank - 1, k, 1)
        square = section(column, a.rank - 2, k, 1)
        below = net.constant(torch.arange(size)[:, None] >= k)
        root = square**0.5
        column = where(below, column / root, 0.0, a.dtype)
        columns.append(column)
        squares.append(square)
        # A product of matrices: a chain of sums and slices alone keeps TensorRT 8.6 for minutes.
        a = a - multiply(column, column.permute(*range(a.rank - 2), a.rank - 1, a.rank - 2))
    whole = columns[0] if size == 1 else Concatenation(axis=a.rank - 1)(*columns) if size else a
    return whole, squares


def _sum_of_rows(x: Tensor) -> Tensor:
    return Reduce(op=ReduceOperation.SUM, axes=(x.rank - 2,), keep_dimensions=True)(x)
