"""``in_other_words``: what TensorRT 8.6 found no implementation for, as other layers.

Its graph compiler was seen to fail at forms that its own matching leads to: attention as one
kernel, and a normalization in float16 beside what is of float32. Neither is made of what this
gives, which costs some speed: it is for a second attempt.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.activations import is_of_activations, with_other_signs
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.types import DType

__all__ = ["has_other_words", "in_other_words"]

_NEGATIVE = Unary(op=UnaryOperation.NEG)


def in_other_words(network: Network) -> Network:
    """A network that computes the same.

    Both factors of a product of two activations have the other sign, which rounds nothing, and
    normalizations in float16 are computed between casts to float32, as they are anyway.
    """
    return rewrite(network, _rule)


def has_other_words(operation: Operation) -> bool:
    """Whether there are other layers for it."""
    return _is_product(operation) or _is_narrow(operation)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if _is_product(operation):
        return with_other_signs(operation, inputs)
    if _is_narrow(operation):
        wide = operation.layer(*(cast(x, DType.FLOAT32) for x in inputs))
        return (cast(named(wide, operation), DType.FLOAT16),)
    return None


def _is_product(operation: Operation) -> bool:
    """Of two activations, whose signs are as they were."""
    made = [x.producer for x in operation.inputs]
    changed = all(op is not None and op.layer == _NEGATIVE for op in made)
    return is_of_activations(operation) and not changed


def _is_narrow(operation: Operation) -> bool:
    normalizes = isinstance(operation.layer, Normalization)
    return normalizes and operation.inputs[0].dtype is DType.FLOAT16
