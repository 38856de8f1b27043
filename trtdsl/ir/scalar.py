"""``FromRankOne``: layers of single elements that TensorRT defines from rank 1 on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtdsl.ir.base import Layer
from trtdsl.ir.shuffle import Squeeze, Unsqueeze

if TYPE_CHECKING:
    from trtdsl.network import Tensor

__all__ = ["FromRankOne"]


class FromRankOne(Layer):
    """A layer of one tensor's elements; a tensor of rank 0 goes through it as one of rank 1."""

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Append to the network of the inputs; all outputs, in the inputs' rank."""
        (x,) = inputs
        if x.rank > 0:
            return super().outputs(x)
        (vector,) = super().outputs(Unsqueeze(axes=(0,))(x))
        return (Squeeze(axes=(0,))(vector),)
