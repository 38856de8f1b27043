"""``without_single_rows``: products of two activations that have one row are given two of it.

Attention of one query is made of such products: a decoder's step beside its cache, a class token's.
TensorRT 8.6 was seen to give a wrong answer for them, in float32 and in float16, and not in every
build: it reads the one row as if its heads lay otherwise. With two rows it is right.
"""

from __future__ import annotations

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["without_single_rows"]


def without_single_rows(network: Network) -> Network:
    """A network that computes the same, without batches of products of one row.

    Products with weights are right as they are.
    """
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    layer, (y, *_) = operation.layer, operation.outputs
    if not isinstance(layer, MatrixMultiply) or any(x.is_constant for x in operation.inputs):
        return None
    vectors = MatrixOperation.VECTOR in (layer.op0, layer.op1)
    if vectors or y.rank < 3 or y.shape[-2] != 1:
        return None
    row, other = inputs
    axis = y.rank - (1 if layer.op0 is MatrixOperation.TRANSPOSE else 2)
    twice = named(layer(Concatenation(axis=axis)(row, row), other), operation)
    return (Slice(start=(0,) * y.rank, shape=y.shape, stride=(1,) * y.rank)(twice),)
