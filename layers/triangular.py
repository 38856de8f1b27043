"""Equations of triangular matrices, solved row by row, and what Cholesky's triangle is for."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import matmul
from trtdsl.registry import converter
from trtdsl.types import Dim, broadcast

from .elimination import require_small
from .linear_algebra import inverse
from .shape import expanded, mT

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.linalg_solve_triangular.default)
def linalg_solve_triangular(
    x: Tensor,
    B: Tensor,  # noqa: N803
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
) -> Tensor:
    """X with ``x @ X = B``, or ``X @ x = B``; nothing beyond the triangle is read."""
    if not left:
        return mT(_solved(mT(x), mT(B), not upper, unitriangular))
    return _solved(x, B, upper, unitriangular)


@converter(aten.cholesky_solve.default)
def cholesky_solve(x: Tensor, input2: Tensor, upper: bool = False) -> Tensor:
    """X with ``L @ L.T @ X = x``, L being ``input2`` or, of an upper one, its transpose."""
    lower = mT(input2) if upper else input2
    return _solved(mT(lower), _solved(lower, x, False, False), True, False)


@converter(aten.cholesky_inverse.default)
def cholesky_inverse(x: Tensor, upper: bool = False) -> Tensor:
    """``(L @ L.T) ** -1``, L being x or, of an upper one, its transpose."""
    size = require_small(x, "the inverse")
    unit = expanded(x.network.constant(torch.eye(size)).cast(x.dtype), x.shape)
    return cholesky_solve(unit, x, upper)


@converter(aten.linalg_tensorinv.default)
def linalg_tensorinv(x: Tensor, ind: int = 2) -> Tensor:
    """The inverse of x as a matrix of its first ``ind`` axes by the others."""
    rows, columns = x.shape[:ind], x.shape[ind:]
    size = _volume(columns)
    return inverse(x.reshape(size, size)).reshape(*columns, *rows)


def _volume(shape: Sequence[Dim]) -> Dim:
    volume: Dim = 1
    for size in shape:
        volume = volume * size
    return volume


def _solved(a: Tensor, b: Tensor, upper: bool, unit: bool) -> Tensor:
    """``a ** -1 @ b`` for the triangle of ``(*S, n, n)``, and ``(*S, n, k)``."""
    size = require_small(a, "equations of a triangular matrix")
    shapes = [(1,) * (max(a.rank, b.rank) - m.rank) + tuple(m.shape[:-2]) for m in (a, b)]
    lead = broadcast(*shapes)
    a, b = (expanded(m, (*lead, *m.shape[-2:])) for m in (a, b))
    rows: list[Tensor] = []  # those found so far, from the top
    for k in reversed(range(size)) if upper else range(size):
        line = section(a, a.rank - 2, k, 1)
        rest = section(b, b.rank - 2, k, 1)
        if rows:
            start = k + 1 if upper else 0
            found = rows[0] if len(rows) == 1 else Concatenation(axis=b.rank - 2)(*rows)
            rest = rest - matmul(section(line, a.rank - 1, start, len(rows)), found)
        row = rest if unit else rest / section(line, a.rank - 1, k, 1)
        rows = [row, *rows] if upper else [*rows, row]
    return Concatenation(axis=b.rank - 2)(*rows) if len(rows) > 1 else rows[0] if rows else b
