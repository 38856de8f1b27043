"""``in_one_order``: two transpositions around a reshape that only joins axes become one before it.

As unfold's windows that are transposed again, in ConvBERT: TensorRT 8.6's builder was seen to end
the process for such a second transposition, where its result is read by a matrix product.
"""

from __future__ import annotations

import math

from trtdsl.ir.shuffle import Shuffle, reshapes, transposes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.types import Shape, as_dim

__all__ = ["in_one_order"]


def in_one_order(network: Network) -> Network:
    """A network that computes the same, with one copy less of what is put in order twice."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    second, joined = operation.layer, inputs[0].producer if inputs else None
    if not transposes(second) or joined is None or not reshapes(joined.layer):
        return None
    parts, groups = joined.inputs[0], _joined_axes(joined.inputs[0].shape, inputs[0].shape)
    first = None if parts.producer is None else parts.producer.layer
    if groups is None or parts.producer is None or not transposes(first):
        return None
    behind = [axis for whole in _order(second, len(groups)) for axis in groups[whole]]
    order = tuple(_order(first, parts.rank)[axis] for axis in behind)
    turned = Shuffle(first_transpose=order)(parts.producer.inputs[0])
    return (named(turned.reshape(*operation.outputs[0].shape), operation),)


def _order(layer: Shuffle, rank: int) -> tuple[int, ...]:
    return layer.first_transpose or tuple(range(rank))


def _joined_axes(parts: Shape, whole: Shape) -> list[list[int]] | None:
    """Of each axis of the whole, the axes that it is made of; None where one is of a part of some.

    (2, 3, n, 1) as (6, n) -> [[0, 1], [2, 3]]
    """
    groups: list[list[int]] = []
    left = list(range(len(parts)))
    for size in whole:
        group: list[int] = []
        while as_dim(math.prod(parts[axis] for axis in group)) != size:
            if not left:
                return None
            group.append(left.pop(0))
        groups.append(group)
    if not groups or any(parts[axis] != 1 for axis in left):
        return None
    groups[-1].extend(left)
    return groups
