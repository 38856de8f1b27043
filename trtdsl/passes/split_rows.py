"""``split_rows_in_batches``: linear layers of a matrix whose rows are split and scaled afterwards.

As a spatial transformer's, whose six numbers an image become a matrix of 2 x 3: TensorRT 8.6 was
seen to give a wrong answer, infinities among it, in both precisions. As one batch of the same
product it is right, and so it is with other signs; why is not known.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import Unsqueeze, reshapes
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["split_rows_in_batches"]

_SCALE, _BIAS = ElementWiseOperation.PROD, ElementWiseOperation.SUM


def split_rows_in_batches(network: Network) -> Network:
    """A network that computes the same, such products as batches of one."""
    products = {_product(operation) for operation in network.operations} - {None}

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation not in products:
            return None
        stacked = operation.layer(*map(Unsqueeze(axes=(0,)), inputs))
        return (named(stacked.reshape(*operation.outputs[0].shape), operation),)

    return rewrite(network, rule) if products else network


def _product(scale: Operation) -> Operation | None:
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
