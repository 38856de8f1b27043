"""``fold_rotary``: rotary embeddings that a model computes by hand, as TensorRT's layer for them.

What is looked for is ``x * cos + cat((-x[..., h:], x[..., :h]), -1) * sin``, as transformers has
it, with a cos and a sin that are each one half twice by the way they were computed: the layer
takes that half. Nothing is concluded from the values of a table, which refitting may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import TypeVar

from trtdsl.ir.activation import Activation
from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.rotary_embedding import RotaryEmbedding
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import Dim

__all__ = ["fold_rotary"]

L = TypeVar("L", bound=Layer)


def fold_rotary(network: Network) -> Network:
    """A network that computes the same, with a RotaryEmbedding for each that was written out."""
    return rewrite(network, _Folding())


class _Folding:
    """The rule of the rewrite, and the tables so far: all layers of a model share a pair."""

    def __init__(self) -> None:
        self.halves: dict[Tensor, Tensor | None] = {}
        self.tables: dict[tuple[Tensor, Dim], Tensor] = {}

    def __call__(
        self, operation: Operation, inputs: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | None:
        if not _is(operation, ElementWiseOperation.SUM) or inputs[0].rank != 4:
            return None
        for plain, turned in permutations(inputs):
            found = _parts(plain, turned)
            halves = [self.half(t) for t in found[1:]] if found else []
            if found and all(_fits(found[0], t) for t in halves):
                x = found[0]
                cos, sin = (self.table(t, x.shape[0]) for t in halves if t is not None)
                return (RotaryEmbedding()(x, cos, sin),)
        return None

    def half(self, x: Tensor) -> Tensor | None:
        """Half of the last axis of x, where both halves are the same by how x was computed."""
        if x not in self.halves:
            self.halves[x] = self.computed_half(x)
        return self.halves[x]

    def computed_half(self, x: Tensor) -> Tensor | None:
        if x.producer is None:
            return None
        layer, inputs = x.producer.layer, x.producer.inputs
        match layer:
            case Concatenation(axis=axis) if axis == x.rank - 1:
                return inputs[0] if len(inputs) == 2 and inputs[0] is inputs[1] else None
            case Unsqueeze(axes=axes) if x.rank - 1 in axes:
                return None
            case Unary() | Activation() | Cast() | ElementWise() | Unsqueeze():
                halves = [y if y.rank and y.shape[-1] == 1 else self.half(y) for y in inputs]
                found = [h for h in halves if h is not None]
                return layer(*found) if len(found) == len(inputs) else None
        return None

    def table(self, half: Tensor, batch: Dim) -> Tensor:
        """A half for each of a batch, without the axis of the heads."""
        if (half, batch) not in self.tables:
            table = Squeeze(axes=(1,))(half)
            if table.shape[0] != batch:
                shape = (batch, *table.shape[1:])
                table = Slice(start=(0, 0, 0), shape=shape, stride=(0, 1, 1))(table)
            self.tables[half, batch] = table
        return self.tables[half, batch]


def _is(operation: Operation | None, op: ElementWiseOperation) -> bool:
    return operation is not None and operation.layer == ElementWise(op=op)


def _parts(plain: Tensor, turned: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """x, cos and sin of ``plain = x * cos`` and ``turned = (x turned by a right angle) * sin``."""
    products = [t.producer for t in (plain, turned)]
    if not all(_is(p, ElementWiseOperation.PROD) for p in products):
        return None
    (first, second) = (p.inputs for p in products if p is not None)
    for quarter, sin in permutations(second):
        x = _unturned(quarter)
        if x in first:
            return x, first[1 - first.index(x)], sin
    return None


def _unturned(quarter: Tensor) -> Tensor | None:
    """The x of ``cat((-x[..., h:], x[..., :h]), -1)``; None for anything else."""
    made = _made_by(quarter, Concatenation)
    if made is None or made[0].axis != 3 or len(made[1]) != 2:
        return None
    negative, low = _made_by(made[1][0], Unary), _made_by(made[1][1], Slice)
    if negative is None or low is None or negative[0].op is not UnaryOperation.NEG:
        return None
    high = _made_by(negative[1][0], Slice)
    if high is None or high[1] != low[1] or len(low[1]) != 1:
        return None
    x = low[1][0]
    size = x.shape[3]
    if not isinstance(size, int) or size % 2:
        return None
    cuts = [_last(x, start, size // 2) for start in (0, size // 2)]
    return x if [low[0], high[0]] == cuts else None


def _last(x: Tensor, start: int, size: int) -> Slice:
    return Slice(start=(0, 0, 0, start), shape=(*x.shape[:3], size), stride=(1, 1, 1, 1))


def _made_by(x: Tensor, kind: type[L]) -> tuple[L, Sequence[Tensor]] | None:
    """The layer of a kind that gives x, and what it reads."""
    if x.producer is None or not isinstance(x.producer.layer, kind):
        return None
    return x.producer.layer, x.producer.inputs


def _fits(x: Tensor, half: Tensor | None) -> bool:
    """Whether a half is a table ``(B or 1, 1, S, H / 2)`` for x."""
    if half is None:
        return False
    batch, heads, length, size = half.shape
    own = (x.shape[2], x.shape[3] // 2) if isinstance(x.shape[3], int) else ()
    return heads == 1 and batch in (1, x.shape[0]) and (length, size) == own
