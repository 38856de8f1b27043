"""``turned_by_products``: matrices joined of parts, transposed by the product that reads them.

TensorRT 8.6 was seen to multiply wrongly by keys that a layer had transposed, and that were joined
of what a rotary embedding turns and what it leaves, by this network and by the ONNX path's alike.
It was right where the product itself was told to transpose them.
"""

from __future__ import annotations

from dataclasses import replace

from trtdsl.ir.activation import Activation
from trtdsl.ir.cast import Cast
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import ElementWise, Unary
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.rotary_embedding import RotaryEmbedding
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze, transposes
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite

__all__ = ["turned_by_products"]

_BY_ELEMENT = (Activation, Cast, ElementWise, Unary, Shuffle, Slice, Squeeze, Unsqueeze)
_FLIP = {
    MatrixOperation.NONE: MatrixOperation.TRANSPOSE,
    MatrixOperation.TRANSPOSE: MatrixOperation.NONE,
}


def turned_by_products(network: Network) -> Network:
    """A network that computes the same, in which no product reads a transposed concatenation."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    layer = operation.layer
    if not isinstance(layer, MatrixMultiply):
        return None
    (x, op0), (y, op1) = _unturned(inputs[0], layer.op0), _unturned(inputs[1], layer.op1)
    if (op0, op1) == (layer.op0, layer.op1):
        return None
    product = replace(layer, op0=op0, op1=op1)(x, y)
    assert product.producer is not None
    product.producer.name = operation.name
    return (product,)


def _unturned(x: Tensor, op: MatrixOperation) -> tuple[Tensor, MatrixOperation]:
    """An operand before its last two axes changed places, if it was joined, and how to read it."""
    behind: list[Operation] = []
    made = x.producer
    while made is not None and (y := _varying(made)) is not None:
        behind.append(made)
        made = y.producer
    if made is None or x.is_constant or not transposes(made.layer) or op not in _FLIP:
        return x, op
    (source,), order = made.inputs, made.layer.first_transpose
    if order is None or x.rank < 2 or order[-2] < order[-1] or not _is_joined(source):
        return x, op
    y = source.permute(*order[:-2], order[-1], order[-2])
    for operation in reversed(behind):
        y = operation.layer(*(z if z.is_constant else y for z in operation.inputs))
    return y, _FLIP[op]


def _varying(operation: Operation) -> Tensor | None:
    """What a function of single elements, and perhaps of one number, is computed of."""
    if not isinstance(operation.layer, Activation | Cast | ElementWise | Unary):
        return None
    varying = [x for x in operation.inputs if not x.is_constant]
    numbers = [x for x in operation.inputs if x.is_constant and x.type.volume == 1]
    alone = len(varying) == 1 and len(varying) + len(numbers) == len(operation.inputs)
    return varying[0] if alone else None


def _is_joined(x: Tensor) -> bool:
    """Whether a concatenation is among what functions of single elements make x of."""
    made = x.ancestry(lambda operation: isinstance(operation.layer, _BY_ELEMENT))
    varying = (operation for operation in made if not operation.outputs[0].is_constant)
    return any(isinstance(op.layer, Concatenation) or _turns_a_part(op) for op in varying)


def _turns_a_part(operation: Operation) -> bool:
    layer = operation.layer
    size = operation.outputs[0].shape[-1] if operation.outputs[0].rank else 0
    return isinstance(layer, RotaryEmbedding) and layer.rotary_embedding_dim not in (0, size)
