"""``in_other_words``: what TensorRT 8.6 found no implementation for, as other layers.

Its graph compiler was seen to fail at forms that its own matching leads to: attention as one
kernel, and a normalization in float16 beside what is of float32. Neither is made of what this
gives, which costs some speed: it is for a second attempt.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.types import DType

__all__ = ["in_other_words"]

_NEGATIVE = Unary(op=UnaryOperation.NEG)


def in_other_words(network: Network) -> Network:
    """A network that computes the same; itself where there are no other words for it.

    Both factors of a product of two activations have the other sign, which rounds nothing, and
    normalizations in float16 are computed between casts to float32, as they are anyway.
    """
    changes = [op for op in network.operations if _is_product(op) or _is_narrow(op)]
    return rewrite(network, _rule) if changes else network


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if _is_product(operation):
        return (named(operation.layer(*map(_NEGATIVE, inputs)), operation),)
    if _is_narrow(operation):
        wide = operation.layer(*(cast(x, DType.FLOAT32) for x in inputs))
        return (cast(named(wide, operation), DType.FLOAT16),)
    return None


def _is_product(operation: Operation) -> bool:
    """Of two activations, whose signs are as they were."""
    if not isinstance(operation.layer, MatrixMultiply):
        return False
    made = [x.producer for x in operation.inputs]
    changed = all(op is not None and op.layer == _NEGATIVE for op in made)
    return not changed and not any(x.is_constant for x in operation.inputs)


def _is_narrow(operation: Operation) -> bool:
    narrow = operation.inputs[:1] and operation.inputs[0].dtype is DType.FLOAT16
    return isinstance(operation.layer, Normalization) and bool(narrow)
