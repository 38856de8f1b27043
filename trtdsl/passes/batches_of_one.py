"""``in_batches_of_one``: layers that TensorRT 8.6 gets wrong of a matrix, and right of a batch.

Both were found in whole models, in both precisions and at every optimization level; why is not
known, and the same layers in smaller networks were right:

- a linear layer whose rows are split and scaled afterwards, as a spatial transformer's, whose six
  numbers an image become a matrix of 2 x 3: other numbers, infinities among them;
- the first elements of each of several rows of a known size, as a mixture's of experts, whose
  router chooses two for each token: in other rows than the first, other experts.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from dataclasses import replace

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze, reshapes
from trtdsl.ir.topk import TopK
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["in_batches_of_one"]

_SCALE, _BIAS = ElementWiseOperation.PROD, ElementWiseOperation.SUM
_STACK, _UNSTACK = Unsqueeze(axes=(0,)), Squeeze(axes=(0,))


def in_batches_of_one(network: Network) -> Network:
    """A network that computes the same, such layers with an axis of one in front."""
    products = {product for op in network.operations if (product := _split_and_scaled(op))}
    if not products and not any(map(_ranks_rows, network.operations)):
        return network
    return rewrite(network, _rule(products))


def _rule(
    products: Set[Operation],
) -> Callable[[Operation, tuple[Tensor, ...]], tuple[Tensor, ...] | None]:
    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if operation in products:
            product = named(layer(*map(_STACK, inputs)), operation)
            return (product.reshape(*operation.outputs[0].shape),)
        if isinstance(layer, TopK) and _ranks_rows(operation):
            outputs = replace(layer, axis=layer.axis + 1).outputs(_STACK(inputs[0]))
            named(outputs[0], operation)
            return tuple(map(_UNSTACK, outputs))
        return None

    return rule


def _ranks_rows(operation: Operation) -> bool:
    """Whether it is TopK of each of several rows of a matrix of known size."""
    if not isinstance(operation.layer, TopK):
        return False
    (x,) = operation.inputs
    return x.rank == 2 and x.type.is_static and x.shape[0] != 1 and operation.layer.axis == 1


def _split_and_scaled(scale: Operation) -> Operation | None:
    """The product with weights whose rows a layer scales after they were split."""
    split = _read_with_constant(scale, _SCALE)
    if split is None or split.producer is None or not reshapes(split.producer.layer):
        return None
    (rows,) = split.producer.inputs
    if rows.rank != 2 or split.rank < 3 or rows.shape[0] != split.shape[0]:
        return None
    made = rows.producer
    biased = None if made is None else _read_with_constant(made, _BIAS)
    product = made if biased is None else biased.producer
    return product if product is not None and _is_linear(product) else None


def _read_with_constant(operation: Operation, op: ElementWiseOperation) -> Tensor | None:
    """What meets a constant in an elementwise layer."""
    if operation.layer != ElementWise(op=op):
        return None
    read = [x for x in operation.inputs if not x.is_constant]
    return read[0] if len(read) == 1 else None


def _is_linear(operation: Operation) -> bool:
    layer = operation.layer
    if not isinstance(layer, MatrixMultiply) or MatrixOperation.VECTOR in (layer.op0, layer.op1):
        return False
    return any(x.is_constant for x in operation.inputs)
