"""``without_single_rows``: products of two activations that have one row are turned over.

Attention of one query is made of such products: a decoder's step beside its cache, a class token's.
TensorRT 8.6 was seen to give a wrong answer for them, in float32 and in float16, and not in every
build. Of one column it is right, and so it is of two rows, which takes a copy; why is not known.
"""

from __future__ import annotations

from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.activations import is_of_activations
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["without_single_rows"]


def without_single_rows(network: Network) -> Network:
    """A network that computes the same, without batches of products of one row.

    Products with weights are right as they are.
    """
    return rewrite(network, _rule) if any(map(_is_of_one_row, network.operations)) else network


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    layer = operation.layer
    if not isinstance(layer, MatrixMultiply) or not _is_of_one_row(operation):
        return None
    (y,), (row, other) = operation.outputs, inputs
    turned = MatrixMultiply(op0=_turned(layer.op1), op1=_turned(layer.op0))
    return (named(turned(other, row), operation).reshape(*y.shape),)


def _turned(op: MatrixOperation) -> MatrixOperation:
    transposed = op is MatrixOperation.TRANSPOSE
    return MatrixOperation.NONE if transposed else MatrixOperation.TRANSPOSE


def _is_of_one_row(operation: Operation) -> bool:
    layer, y = operation.layer, operation.outputs[0]
    if not isinstance(layer, MatrixMultiply) or not is_of_activations(operation):
        return False
    vectors = MatrixOperation.VECTOR in (layer.op0, layer.op1)
    return not vectors and y.rank > 2 and y.shape[-2] == 1
