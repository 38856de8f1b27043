"""Sums over products of tensors, axes named by labels: einsum, tensordot, inner, kron.

Two tensors at a time, as PyTorch does: axes that both have and that are kept are a batch, axes that
both have and that are not are what a matrix product sums over, and the others are its rows and
columns. So einsum becomes the transposes and products that TensorRT fuses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass
from string import ascii_letters

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import promote_dtype, total
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .linear import multiply

__all__ = ["Labelled", "contracted"]

aten = torch.ops.aten


@dataclass(frozen=True)
class Labelled:
    """A tensor with a label for each of its axes, none twice."""

    tensor: Tensor
    labels: tuple[Hashable, ...]

    def size(self, label: Hashable) -> Dim:
        return self.tensor.shape[self.labels.index(label)]

    def sizes(self, labels: Sequence[Hashable]) -> tuple[Dim, ...]:
        return tuple(map(self.size, labels))

    def ordered(self, labels: Sequence[Hashable]) -> Tensor:
        """The tensor with its axes in another order."""
        return self.tensor.permute(*map(self.labels.index, labels))

    def without(self, labels: Collection[Hashable]) -> Labelled:
        """Summed over the axes of these labels; those of size 1 just go."""
        ones = [a for a, label in enumerate(self.labels) if label in labels and self._one(a)]
        axes = [a for a, label in enumerate(self.labels) if label in labels and not self._one(a)]
        x = self.tensor
        if axes:
            x = total(x, axes, keep=True)
        if axes or ones:
            x = Squeeze(axes=tuple(sorted(axes + ones)))(x)
        return Labelled(x, tuple(label for label in self.labels if label not in labels))

    def broad(self, labels: Sequence[Hashable]) -> Tensor:
        """The tensor with an axis for each label, of size 1 where it has none."""
        x = self.ordered([label for label in labels if label in self.labels])
        missing = tuple(i for i, label in enumerate(labels) if label not in self.labels)
        return Unsqueeze(axes=missing)(x) if missing else x

    def _one(self, axis: int) -> bool:
        return bool(self.tensor.shape[axis] == 1)


def contracted(x: Labelled, y: Labelled, kept: Collection[Hashable]) -> Labelled:
    """The sum of ``x * y`` over all labels that are not kept; sizes of 1 broadcast."""
    x, y = _without_broadcast(x, y), _without_broadcast(y, x)
    x, y = (
        own.without({a for a in own.labels if a not in other.labels and a not in kept})
        for own, other in ((x, y), (y, x))
    )
    both = [a for a in x.labels if a in y.labels]
    batch = [a for a in both if a in kept]
    summed = [a for a in both if a not in kept]
    rows = [a for a in x.labels if a not in both]
    columns = [a for a in y.labels if a not in both]
    labels = (*batch, *rows, *columns)
    if not summed:
        return Labelled(x.broad(labels) * y.broad(labels), labels)
    if not x.tensor.dtype.is_float:  # TensorRT's matrix product takes floats
        every = (*labels, *summed)
        product = Labelled(x.broad(every) * y.broad(every), every)
        return product.without(summed)
    inner = math.prod(x.sizes(summed))
    lead = x.sizes(batch)
    left = x.ordered((*batch, *rows, *summed))
    right = y.ordered((*batch, *summed, *columns))
    left = left.reshape(*lead, math.prod(x.sizes(rows)), inner)
    right = right.reshape(*y.sizes(batch), inner, math.prod(y.sizes(columns)))
    shape = (*lead, *x.sizes(rows), *y.sizes(columns))
    return Labelled(multiply(left, right).reshape(*shape), labels)


def _without_broadcast(x: Labelled, y: Labelled) -> Labelled:
    """x without the axes of size 1 that y has larger."""
    shared = [a for a in x.labels if a in y.labels]
    return x.without({a for a in shared if x.size(a) == 1 and y.size(a) != 1})


@converter(aten.einsum.default)
def einsum(
    equation: str, tensors: Sequence[Tensor], *, path: Sequence[int] | None = None
) -> Tensor:
    """The sum of products that an equation such as ``"bhqd,bhkd->bhqk"`` names."""
    inputs, output = _parsed(equation, tensors)
    tensors = promote_dtype(*tensors)
    counts = Counter(label for labels in inputs for label in set(labels))
    alone = any(n == 1 and label not in output for label, n in counts.items())
    if alone and not tensors[0].dtype.is_float:  # what is summed alone is summed as int64
        tensors = tuple(x.cast(DType.INT64) for x in tensors)
    pairs = zip(tensors, inputs, strict=True)
    operands = [_diagonals(x, labels) for x, labels in pairs]
    steps = list(path or [0, 1] * (len(operands) - 1))
    for first, second in zip(steps[::2], steps[1::2], strict=True):
        low, high = sorted((first, second))
        y, x = operands.pop(high), operands.pop(low)
        kept = {*output, *(label for other in operands for label in other.labels)}
        operands.append(contracted(x, y, kept))
    (result,) = operands
    result = result.without(set(result.labels) - set(output))
    return result.ordered(output)


def _diagonals(x: Tensor, labels: Sequence[Hashable]) -> Labelled:
    """The diagonals along axes that have the same label."""
    names = list(labels)
    for label in [a for a, n in Counter(labels).items() if n > 1]:
        while names.count(label) > 1:
            first = names.index(label)
            second = names.index(label, first + 1)
            x = _diagonal(x, first, second)
            names = [a for i, a in enumerate(names) if i not in (first, second)] + [label]
    return Labelled(x, tuple(names))


def _diagonal(x: Tensor, first: int, second: int) -> Tensor:
    """The diagonal of two axes of one size, as the last axis."""
    others = [axis for axis in range(x.rank) if axis not in (first, second)]
    size = x.shape[first]
    lead = [x.shape[axis] for axis in others]
    flat = x.permute(*others, first, second).reshape(*lead, size * size)
    return section(flat, len(lead), 0, size, size + 1)


def _parsed(
    equation: str, tensors: Sequence[Tensor]
) -> tuple[list[list[Hashable]], list[Hashable]]:
    """A label for each axis of each tensor, and those of the result.

    Letters are their own labels; the axes of an ellipsis are numbered from the last one.
    """
    left, arrow, right = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise _refused(equation, tensors)
    inputs = [
        _labels(term, x.rank, equation, tensors) for term, x in zip(terms, tensors, strict=True)
    ]
    numbers = {label for labels in inputs for label in labels if isinstance(label, int)}
    ellipsis: list[Hashable] = [*sorted(numbers)]
    if arrow:
        head, dots, tail = right.partition("...")
        return inputs, [*head, *(ellipsis if dots else []), *tail]
    counts = Counter(label for labels in inputs for label in labels)
    once = sorted(str(a) for a, n in counts.items() if n == 1 and not isinstance(a, int))
    return inputs, [*ellipsis, *once]


def _labels(term: str, rank: int, equation: str, tensors: Sequence[Tensor]) -> list[Hashable]:
    head, dots, tail = term.partition("...")
    letters = head + tail
    count = rank - len(letters)
    if count < 0 or (count and not dots) or not set(letters) <= set(ascii_letters):
        raise _refused(equation, tensors)
    return [*head, *range(-count, 0), *tail]


def _refused(equation: str, tensors: Sequence[Tensor]) -> ConversionError:
    given = ", ".join(str(x.type) for x in tensors)
    return ConversionError(
        explain(
            f"einsum {equation!r} does not fit {given}",
            fix="name each axis with a letter, or stand '...' for some",
        )
    )


@converter(aten.tensordot.default)
def tensordot(
    x: Tensor, other: Tensor, dims_self: Sequence[int], dims_other: Sequence[int]
) -> Tensor:
    """The sum of products over pairs of axes: the other axes of x, then those of ``other``."""
    summed = {d % x.rank: i for i, d in enumerate(dims_self)}
    there = {d % other.rank: i for i, d in enumerate(dims_other)}
    left = Labelled(x, tuple(summed.get(a, ("x", a)) for a in range(x.rank)))
    right = Labelled(other, tuple(there.get(a, ("y", a)) for a in range(other.rank)))
    kept = [a for a in (*left.labels, *right.labels) if not isinstance(a, int)]
    return contracted(left, right, kept).ordered(kept)


@converter(aten.inner.default)
def inner(x: Tensor, other: Tensor) -> Tensor:
    """The sum of products over the last axes: ``(*A, K), (*B, K) -> (*A, *B)``."""
    if x.rank == 0 or other.rank == 0:
        return x * other
    return tensordot(x, other, [-1], [-1])


@converter(aten.vdot.default)
def vdot(x: Tensor, other: Tensor) -> Tensor:
    """``(K,), (K,) -> ()``; of real numbers the same as ``dot``."""
    return tensordot(x, other, [0], [0])


@converter(aten.kron.default)
def kron(x: Tensor, other: Tensor) -> Tensor:
    """Each element of x times all of ``other``, laid out as blocks."""
    rank = max(x.rank, other.rank)
    left = (*[1] * (rank - x.rank), *x.shape)
    right = (*[1] * (rank - other.rank), *other.shape)
    outer = x.reshape(*(n for size in left for n in (size, 1)))
    blocks = other.reshape(*(n for size in right for n in (1, size)))
    product: Tensor = outer * blocks
    return product.reshape(*(a * b for a, b in zip(left, right, strict=True)))


@converter(aten._trilinear.default)
def _trilinear(
    i1: Tensor,
    i2: Tensor,
    i3: Tensor,
    expand1: Sequence[int],
    expand2: Sequence[int],
    expand3: Sequence[int],
    sumdim: Sequence[int],
    unroll_dim: int = 1,
) -> Tensor:
    """The sum over ``sumdim`` of the product of three tensors, with axes added to each."""
    rank = i1.rank + len(expand1)
    first, second, third = (
        Labelled(x, tuple(a for a in range(rank) if a not in {e % rank for e in expand}))
        for x, expand in ((i1, expand1), (i2, expand2), (i3, expand3))
    )
    kept = [a for a in range(rank) if a not in {d % rank for d in sumdim}]
    pair = contracted(first, third, {*kept, *second.labels})
    return contracted(pair, second, kept).ordered(kept)
