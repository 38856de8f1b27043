"""``undecided``: what a network computes before its values decide anything.

Of a detector in float16 other boxes may be the best ones than in float32, where scores are close;
what they are chosen by is as comparable as any other model's answer.
"""

from __future__ import annotations

from collections.abc import Iterator

from trtdsl.ir.cast import Cast
from trtdsl.ir.nms import NMS
from trtdsl.ir.nonzero import NonZero
from trtdsl.ir.topk import TopK
from trtdsl.network import Network, Tensor

__all__ = ["undecided"]


def undecided(network: Network) -> dict[str, Tensor]:
    """The numbers that the first decisions are made by, by the names of the layers that give them.

    Decisions are which elements are largest, not zero, or kept of boxes that overlap.
    """
    behind, found = set[Tensor](), dict[str, Tensor]()
    for operation in network.operations:
        decides = isinstance(operation.layer, TopK | NonZero | NMS)
        if any(x in behind for x in operation.inputs):
            behind.update(operation.outputs)
        elif decides:
            behind.update(operation.outputs)
            found.update((name, y) for x in operation.inputs for name, y in _numbers(x))
    return found


def _numbers(x: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A tensor of numbers, before it is cast, or those that a comparison compares."""
    if x.is_constant or x.producer is None:
        return
    if x.dtype.is_float and not isinstance(x.producer.layer, Cast):
        yield x.producer.name, x
        return
    for y in x.producer.inputs:
        yield from _numbers(y)
