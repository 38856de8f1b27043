"""Products of two activations, as attention is made of: which they are, and with other signs."""

from __future__ import annotations

from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Operation, Tensor
from trtdsl.passes.rewrite import named

__all__ = ["is_of_activations", "with_other_signs"]


def is_of_activations(operation: Operation) -> bool:
    """Whether it is a matrix product that no weight is a factor of."""
    product = isinstance(operation.layer, MatrixMultiply)
    return product and not any(x.is_constant for x in operation.inputs)


def with_other_signs(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """The product with both factors negative, which rounds nothing."""
    return (named(operation.layer(*(-x for x in inputs)), operation),)
