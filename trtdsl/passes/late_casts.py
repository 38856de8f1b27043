"""``unrounded``: what leaves a network in float32, computed in it from its last step on.

A model whose outputs are float32 would be rounded to float16 there only to be widened again, by
TensorRT 8.6 in a kernel of its own, where its last step could write float32.
"""

from __future__ import annotations

from collections import Counter

from trtdsl.ir.activation import Activation
from trtdsl.ir.cast import Cast
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.elementwise import ElementWise, Unary
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import DType

__all__ = ["unrounded"]

_MOVES = (Shuffle, Slice, Squeeze, Unsqueeze)
_BY_ELEMENT = (Activation, ElementWise, Unary)
_PRODUCTS = (Convolution, Deconvolution, MatrixMultiply)
_WIDE = Cast(dtype=DType.FLOAT32)


def unrounded(network: Network) -> Network:
    """A network whose float32 outputs are not rounded to float16 in their last step.

    What was computed in float32 stays so; a last function of single elements is computed in it,
    unless it is a product's, whose kernel it is part of.
    """
    uses = Counter(x for operation in network.operations for x in operation.inputs)
    uses.update(network.outputs)
    last = [_moved(y).producer for y in network.outputs]
    leaving = {made for made in last if made is not None and made.layer == _WIDE}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation not in leaving or _is_read_again(operation.inputs[0], uses):
            return None
        wide = _wide(inputs[0])
        return None if wide is None else (wide,)

    return rewrite(network, rule)


def _moved(x: Tensor) -> Tensor:
    """What a tensor's elements are, before they were moved."""
    while (made := x.producer) is not None and isinstance(made.layer, _MOVES):
        x = made.inputs[0]
    return x


def _is_read_again(x: Tensor, uses: Counter[Tensor]) -> bool:
    """Whether anything else reads a tensor, or what its elements are before they were moved."""
    while (made := x.producer) is not None and uses[x] == 1 and isinstance(made.layer, _MOVES):
        x = made.inputs[0]
    return uses[x] > 1


def _wide(x: Tensor) -> Tensor | None:
    """A float16 tensor in float32, without a rounding or with one less; None where it has to be."""
    made = x.producer
    if made is None or x.dtype is not DType.FLOAT16 or x.is_constant:
        return None
    layer = made.layer
    if isinstance(layer, _MOVES) and len(made.inputs) == 1:
        wide = _wide(made.inputs[0])
        return None if wide is None else layer(wide)
    if layer == Cast(dtype=DType.FLOAT16) and made.inputs[0].dtype is DType.FLOAT32:
        return made.inputs[0]
    if not isinstance(layer, _BY_ELEMENT) or any(map(_is_product, made.inputs)):
        return None
    narrow = DType.FLOAT16
    y = layer(*(cast(z, DType.FLOAT32) if z.dtype is narrow else z for z in made.inputs))
    assert y.producer is not None
    y.producer.name = made.name
    return y


def _is_product(x: Tensor) -> bool:
    return x.producer is not None and isinstance(x.producer.layer, _PRODUCTS)
