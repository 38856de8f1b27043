"""Distances between vectors: of pairs, of all pairs of two sets, and of one set with itself."""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Scalar, Tensor
from trtdsl.operators import maximum, power, promote, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, broadcast

from .creation import filled
from .function import absolute
from .linear import multiply

__all__: list[str] = []

aten = torch.ops.aten

_FEW = 25
"""From more vectors than this on, PyTorch computes Euclidean distances by a matrix product."""


def _length(x: Tensor, p: float, axes: tuple[int, ...], *, keep: bool = False) -> Tensor:
    """The p-norm along axes; 0 where they have no elements."""

    def reduced(op: ReduceOperation, value: Tensor) -> Tensor:
        return Reduce(op=op, axes=axes, keep_dimensions=keep)(value)

    if p == 0:
        return reduced(ReduceOperation.SUM, (~x.equal(0)).cast(x.dtype))
    if p == 2:
        return Unary(op=UnaryOperation.SQRT)(reduced(ReduceOperation.SUM, x * x))
    size = absolute(x)
    if p == math.inf:
        return reduced(ReduceOperation.MAX, size)
    if p == -math.inf:
        return reduced(ReduceOperation.MIN, size)
    if p == 1:
        return reduced(ReduceOperation.SUM, size)
    return power(reduced(ReduceOperation.SUM, power(size, float(p))), 1 / p)


@converter(aten.cdist.default)
def cdist(x1: Tensor, x2: Tensor, p: float = 2, compute_mode: int | None = None) -> Tensor:
    """The p-norms of all differences: ``(*B, P, M), (*B, R, M) -> (*B, P, R)``, in float32.

    ``compute_mode`` 1 takes the matrix product for p = 2, 2 never does, and 0 does for many
    vectors. Source: aten::cdist.
    """
    return _cdist_forward(x1, x2, p, compute_mode)


@converter(aten._cdist_forward.default)
def _cdist_forward(x1: Tensor, x2: Tensor, p: float, compute_mode: int | None) -> Tensor:
    """``cdist``."""
    dtype = x1.dtype
    x1, x2 = promote(x1, x2, dtype=DType.FLOAT32)
    rows, columns = x1.shape[-2], x2.shape[-2]
    if 0 in x1.shape or 0 in x2.shape:
        batch = broadcast(x1.shape[:-2], x2.shape[:-2])
        return filled(x1.network, (*batch, rows, columns), 0, dtype)
    many = any(_many(size) for size in (rows, columns))
    if p == 2 and (compute_mode == 1 or (compute_mode in (None, 0) and many)):
        return _by_product(x1, x2).cast(dtype)
    rank = x1.rank
    difference = Unsqueeze(axes=(rank - 1,))(x1) - Unsqueeze(axes=(rank - 2,))(x2)
    return _length(difference, p, (rank,)).cast(dtype)


def _many(size: Dim) -> bool:
    return not isinstance(size, int) or size > _FEW


def _by_product(x: Tensor, y: Tensor) -> Tensor:
    """``sqrt(|x|^2 - 2 x.y + |y|^2)``, which loses digits between vectors that are near."""
    last = x.rank - 1
    total = Reduce(op=ReduceOperation.SUM, axes=(last,), keep_dimensions=True)
    flipped = (*range(last - 1), last, last - 1)
    cross = multiply(x, y.permute(*flipped))
    squares = total(x * x) + total(y * y).permute(*flipped) - cross * 2
    return Unary(op=UnaryOperation.SQRT)(maximum(squares, 0.0))


@converter(aten.pdist.default, aten._pdist_forward.default)
def pdist(x: Tensor, p: float = 2) -> Tensor:
    """The p-norms of the differences of rows i < j: ``(N, M) -> (N * (N - 1) / 2,)``."""
    count, width = x.shape
    if not isinstance(count, int):
        raise ConversionError(
            explain(f"pdist of {x}: pairs of a number of rows that varies", fix="use torch.cdist")
        )
    first, second = torch.triu_indices(count, count, 1, dtype=torch.int32)
    if width == 0 or count < 2:
        return filled(x.network, (len(first),), 0, x.dtype)
    wide = x.cast(DType.FLOAT32)
    rows = [Gather(axis=0)(wide, x.network.constant(index)) for index in (first, second)]
    return _length(rows[0] - rows[1], p, (1,)).cast(x.dtype)


@converter(aten.dist.default)
def dist(x: Tensor, other: Tensor, p: Scalar = 2) -> Tensor:
    """The p-norm of all of ``x - other``."""
    difference = x - other
    dtype, wide = difference.dtype, difference.cast(DType.FLOAT32)
    if 0 in wide.shape:
        return filled(x.network, (), 0, dtype)
    axes = tuple(range(wide.rank))
    return (_length(wide, float(p), axes) if axes else _single(wide, float(p))).cast(dtype)


def _single(x: Tensor, p: float) -> Tensor:
    """The p-norm of one element."""
    return where(x.equal(0), 0.0, 1.0) if p == 0 else absolute(x)
