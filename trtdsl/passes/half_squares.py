"""Roots of sums of squares in networks of float16, for a TensorRT without strongly typed networks.

TensorRT 8.6 was seen to square in float16 what a network squares in float32, and squares leave
float16 from 256 on. ``sqrt(mean(x ** 2) + epsilon)`` is ``m * sqrt(mean((x / m) ** 2) +
epsilon / m ** 2)``, and with the largest ``|x|`` as m nothing leaves it in either type. RMS norms,
standard deviations and vector norms are written with such roots.
"""

from __future__ import annotations

import math

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Squeeze
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.numbers import plain_number
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import DType, is_static

__all__ = ["scaled_squares"]

_Op = ElementWiseOperation
_SMALLEST = 2.0**-14
"""float16's smallest number of full precision."""
_LARGEST = 65504.0


def scaled_squares(network: Network) -> Network:
    """The network with such roots scaled; itself where it has no float16."""
    outputs = (x for operation in network.operations for x in operation.outputs)
    if not any(x.dtype is DType.FLOAT16 for x in outputs):
        return network
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if operation.layer != Unary(op=UnaryOperation.SQRT) or inputs[0].is_constant:
        return None
    total, epsilon = _apart(inputs[0], _Op.SUM, 0.0)
    total, divisor = _apart(total, _Op.DIV, 1.0)
    made = total.producer
    if made is None or not isinstance(made.layer, Reduce) or divisor == 0:
        return None
    x = _squared(made.inputs[0])
    sums = made.layer.op in (ReduceOperation.AVG, ReduceOperation.SUM)
    if not sums or x is None or x.dtype is not DType.FLOAT32:
        return None
    return (_root(x, made.layer, divisor, epsilon),)


def _apart(x: Tensor, op: ElementWiseOperation, neutral: float) -> tuple[Tensor, float]:
    """The tensor and the positive number that x is made of; x and ``neutral`` where it is not."""
    made = x.producer
    if made is None or made.layer != ElementWise(op=op) or x.is_constant:
        return x, neutral
    pairs = [made.inputs] if op is _Op.DIV else [made.inputs, made.inputs[::-1]]
    for y, other in pairs:
        number = plain_number(other)
        if number is not None and number >= 0:
            return y, number
    return x, neutral


def _squared(x: Tensor) -> Tensor | None:
    """What x is the square of, if it is one."""
    made = x.producer
    if made is None or made.layer != ElementWise(op=_Op.PROD) or x.is_constant:
        return None
    left, right = made.inputs
    return left if left is right else None


def _root(x: Tensor, layer: Reduce, divisor: float, epsilon: float) -> Tensor:
    """``sqrt(sum(x ** 2) / divisor + epsilon)``, or of the mean."""
    counted = [x.shape[axis] for axis in layer.axes]
    op, factor = layer.op, 1 / divisor
    if op is ReduceOperation.SUM and is_static(counted):
        op, factor = ReduceOperation.AVG, math.prod(counted) / divisor
    rest = math.sqrt(epsilon / factor)
    size = Unary(op=UnaryOperation.ABS)(x)
    largest = Reduce(op=ReduceOperation.MAX, axes=layer.axes, keep_dimensions=True)(size)
    # No rest, divided by this and squared, leaves float16; and no infinity is divided by another.
    largest = ElementWise(op=_Op.MAX)(largest, _number(largest, max(_SMALLEST, rest / 64)))
    largest = ElementWise(op=_Op.MIN)(largest, _number(largest, _LARGEST))
    small = x / largest
    squares = Reduce(op=op, axes=layer.axes, keep_dimensions=True)(small * small)
    if rest:
        part = _number(largest, rest) / largest
        squares = squares + part * part
    root = largest * Unary(op=UnaryOperation.SQRT)(squares)
    root = root if factor == 1 else root * math.sqrt(factor)
    return root if layer.keep_dimensions else Squeeze(axes=layer.axes)(root)


def _number(x: Tensor, value: float) -> Tensor:
    """A number as a constant of x's dtype and rank."""
    import torch

    return x.network.constant(torch.full((1,) * x.rank, value, dtype=x.dtype.torch))
