"""``without_idle_moves``: no shape or order that is given up again at once.

TensorRT 8.6 was seen to copy a tensor at the border of a plugin for a reshape that changes nothing.
"""

from __future__ import annotations

from trtdsl.ir.shuffle import reshapes, transposes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import Shape

__all__ = ["without_idle_moves"]


def without_idle_moves(network: Network) -> Network:
    """A network without reshapes and transpositions that together change nothing."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if reshapes(operation.layer):
        back = _of_shape(inputs[0], operation.outputs[0].shape)
    elif transposes(operation.layer):
        back = _of_order(inputs[0], operation.layer.first_transpose or ())
    else:
        return None
    return None if back is None else (back,)


def _of_shape(x: Tensor, shape: Shape) -> Tensor | None:
    """What x is reshaped from, x itself included, that has the shape already."""
    while x.shape != shape:
        made = x.producer
        if made is None or not reshapes(made.layer):
            return None
        (x,) = made.inputs
    return x


def _of_order(x: Tensor, order: tuple[int, ...]) -> Tensor | None:
    """What x is transposed from, x itself included, that an order brings x back to."""
    unmoved = tuple(range(len(order)))
    if order == unmoved:
        return x
    made = x.producer
    if made is None or not transposes(made.layer):
        return None
    before = made.layer.first_transpose or unmoved
    return made.inputs[0] if tuple(before[axis] for axis in order) == unmoved else None
