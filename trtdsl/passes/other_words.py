"""``in_other_words``: what TensorRT 8.6 found no implementation for, as other layers.

Its graph compiler was seen to fail at forms that its own matching leads to: attention as one
kernel, a normalization in float16 beside what is of float32, a product that adds to what it finds.
None is made of what this gives, which costs some speed: it is for a second attempt.
"""

from __future__ import annotations

from collections.abc import Iterable

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast
from trtdsl.passes.activations import is_of_activations, with_other_signs
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.types import DType

__all__ = ["has_other_words", "in_other_words"]

_NEGATIVE = Unary(op=UnaryOperation.NEG)
_SUM = ElementWise(op=ElementWiseOperation.SUM)


def in_other_words(network: Network) -> Network:
    """A network that computes the same.

    Both factors of a product of two activations have the other sign, and so has a product with
    weights that is added to something, where it is taken back: that rounds nothing. Normalizations
    in float16 are computed between casts to float32, as they are anyway.
    """
    added = _added(network.operations)

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation in added:
            turned = (x * -1.0 if x.is_constant else x for x in inputs)
            return (-named(operation.layer(*turned), operation),)
        if _is_product(operation):
            return with_other_signs(operation, inputs)
        if _is_narrow(operation):
            wide = operation.layer(*(cast(x, DType.FLOAT32) for x in inputs))
            return (cast(named(wide, operation), DType.FLOAT16),)
        return None

    return rewrite(network, rule)


def has_other_words(operations: Iterable[Operation]) -> bool:
    """Whether there are other layers for some."""
    some = tuple(operations)
    return bool(_added(some)) or any(_is_product(op) or _is_narrow(op) for op in some)


def _added(operations: Iterable[Operation]) -> set[Operation]:
    """The products with weights that are terms of sums; what is added to all rows aside."""
    sums = [op for op in operations if op.layer == _SUM]
    terms = [x for op in sums if not any(y.is_constant for y in op.inputs) for x in op.inputs]
    return {x.producer for x in terms if x.producer is not None and _has_weights(x.producer)}


def _has_weights(operation: Operation) -> bool:
    multiplies = isinstance(operation.layer, MatrixMultiply)
    return multiplies and any(x.is_constant for x in operation.inputs)


def _is_product(operation: Operation) -> bool:
    """Of two activations, whose signs are as they were."""
    made = [x.producer for x in operation.inputs]
    changed = all(op is not None and op.layer == _NEGATIVE for op in made)
    return is_of_activations(operation) and not changed


def _is_narrow(operation: Operation) -> bool:
    normalizes = isinstance(operation.layer, Normalization)
    return normalizes and operation.inputs[0].dtype is DType.FLOAT16
