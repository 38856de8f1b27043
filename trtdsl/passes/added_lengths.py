"""``of_added_lengths``: attention in float16 whose number of queries is a sum of sizes that vary.

Of a text's tokens and an image's, joined, as in SD3 and FLUX. TensorRT 8.6 was seen to build no
engine where it makes one kernel of such attention. Changes of sign in front of a product keep it
from that, and round nothing.
"""

from __future__ import annotations

from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.activations import is_of_activations, with_other_signs
from trtdsl.passes.rewrite import rewrite
from trtdsl.types import DType

__all__ = ["of_added_lengths"]


def of_added_lengths(network: Network) -> Network:
    """A network that computes the same: both factors of such products have the other sign."""
    return rewrite(network, _rule) if any(map(_is_of_a_sum, network.operations)) else network


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    return with_other_signs(operation, inputs) if _is_of_a_sum(operation) else None


def _is_of_a_sum(operation: Operation) -> bool:
    """Whether it is a product of two activations with as many rows as two sizes together."""
    y = operation.outputs[0]
    narrow = is_of_activations(operation) and y.dtype is DType.FLOAT16
    return narrow and y.rank > 2 and getattr(y.shape[-2], "is_Add", False)
