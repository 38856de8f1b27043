"""Rows of a table picked by indices, and bags of such rows added up, averaged or maximized."""

from __future__ import annotations

import math

import torch

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.fill import Fill
from trtdsl.ir.gather import Gather
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import maximum, where
from trtdsl.reference import fold, settle
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim

from .absent import Absent
from .creation import filled, iota
from .indexing import sliced

__all__: list[str] = []

aten = torch.ops.aten

Bags = tuple[Tensor, Absent, Absent, Absent]

_SUM, _MEAN, _MAX = range(3)
_OPERATIONS = (ReduceOperation.SUM, ReduceOperation.AVG, ReduceOperation.MAX)
_OTHERS = (Absent("what an embedding_bag keeps for its gradient", "compute it from the offsets"),)


@converter(aten.embedding.default)
def embedding(
    weight: Tensor,
    indices: Tensor,
    padding_idx: Dim = -1,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of a table: ``(n, C), (*I) -> (*I, C)``; the other arguments are about gradients."""
    return Gather(axis=0)(weight, indices)


@converter(aten.embedding_bag.default)
def embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
) -> Bags:
    """Rows ``(n, C)`` at ``indices`` ``(N,)``, reduced from each of ``offsets`` ``(B,)`` on.

    By mode 0 their sum, weighted by ``per_sample_weights`` ``(N,)``; 1 their mean, 2 their maximum;
    0 for an empty bag. With ``include_last_offset`` the last offset is the end of the last bag.
    """
    y = _bags(weight, indices, offsets, mode, per_sample_weights, include_last_offset, None)
    return y, *_OTHERS * 3


@converter(aten.embedding_bag.padding_idx)
def embedding_bag_padding_idx(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Tensor | None,
    include_last_offset: bool,
    padding_idx: int | None,
) -> Bags:
    """``embedding_bag`` that passes over one index, which may be counted from the end."""
    if padding_idx is not None and padding_idx < 0:
        padding_idx += weight.shape[0]
    y = _bags(weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding_idx)
    return y, *_OTHERS * 3


@converter(aten._embedding_bag.default, aten._embedding_bag_forward_only.default)
def _embedding_bag(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> Bags:
    """``embedding_bag``, where a ``padding_idx`` of -1 stands for none."""
    padding = None if padding_idx < 0 else padding_idx
    y = _bags(weight, indices, offsets, mode, per_sample_weights, include_last_offset, padding)
    return y, *_OTHERS * 3


def _bags(
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor,
    mode: int,
    weights: Tensor | None,
    include_last: bool,
    padding: int | None,
) -> Tensor:
    """The bags ``(B, C)``, computed in float32."""
    indices = indices.reshape(math.prod(indices.shape))
    count, columns = indices.shape[0], weight.shape[1]
    bags = offsets.shape[0] - 1 if include_last else offsets.shape[0]
    if 0 in (count, bags, columns):
        return filled(weight.network, (bags, columns), 0, weight.dtype)
    rows = Gather(axis=0)(weight, indices).cast(DType.FLOAT32)
    if weights is not None:
        rows = rows * Unsqueeze(axes=(1,))(weights.cast(DType.FLOAT32))
    inside = None if padding is None else ~indices.equal(padding)
    if length := _length(offsets, bags, count):
        rows = rows.reshape(bags, length, columns)
        inside = None if inside is None else inside.reshape(bags, 1, length)
    else:
        rows, member = Unsqueeze(axes=(0,))(rows), _members(offsets, count, include_last)
        inside = member if inside is None else member & inside
    return _reduced(rows, inside, mode).reshape(bags, columns).cast(weight.dtype)


def _length(offsets: Tensor, bags: Dim, count: Dim) -> int:
    """How many indices each bag has, where the offsets say that it is one number; otherwise 0."""
    step = _step(offsets)
    return step if as_dim(bags * step) == count else 0


def _step(offsets: Tensor) -> int:
    """What the offsets grow by from 0 on, if it is always the same that is known."""
    if offsets.is_constant:
        value = fold(offsets)
        step = int(value[1]) if len(value) > 1 else 0
        if not torch.equal(value, torch.arange(len(value)).to(value) * step):
            return 0
        settle(offsets)
        return step
    product = offsets.producer
    if product is None or product.layer != ElementWise(op=ElementWiseOperation.PROD):
        return 0
    number, step_ = product.inputs
    counted = number.producer and number.producer.layer == Fill(shape=offsets.shape)
    if not counted or not step_.is_constant:
        return 0
    settle(step_)
    return int(fold(step_))


def _members(offsets: Tensor, count: Dim, include_last: bool) -> Tensor:
    """Which indices are in which bag, bool ``(1, B, N)``."""
    net = offsets.network
    starts, ends = offsets, sliced(offsets, 0, 1, None)
    if include_last:
        starts = sliced(offsets, 0, None, -1)
    else:
        end = net.size(count).cast(offsets.dtype)
        ends = end if ends.shape[0] == 0 else Concatenation(axis=0)(ends, end)
    place = iota(net, count).cast(offsets.dtype)
    starts, ends = (Unsqueeze(axes=(0, 2))(x) for x in (starts, ends))
    return ~(place < starts) & (place < ends)


def _reduced(rows: Tensor, inside: Tensor | None, mode: int) -> Tensor:
    """Rows ``(G, K, C)`` reduced over those of the K that are inside, bool ``(G, B, K)``."""
    if inside is None:
        return Reduce(op=_OPERATIONS[mode], axes=(1,))(rows)
    if mode == _MAX:
        low = torch.finfo(torch.float32).min
        spread = where(Unsqueeze(axes=(3,))(inside), Unsqueeze(axes=(1,))(rows), low)
        found = Reduce(op=ReduceOperation.MAX, axes=(2,), keep_dimensions=True)
        largest = Reduce(op=ReduceOperation.MAX, axes=(2,))(spread)
        return where(found(inside.cast(DType.INT32)).cast(DType.BOOL), largest, 0.0)
    member = inside.cast(DType.FLOAT32)
    total = MatrixMultiply()(member, rows)
    if mode == _SUM:
        return total
    counts = Reduce(op=ReduceOperation.SUM, axes=(2,), keep_dimensions=True)(member)
    return total / maximum(counts, 1.0)
