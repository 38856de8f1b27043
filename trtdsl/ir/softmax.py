"""``SoftMax``: exponentials that sum to 1 along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.types import TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["SoftMax"]


@dataclass(frozen=True, kw_only=True)
class SoftMax(Layer):
    """``exp(x) / sum(exp(x))`` along ``axis``, of floats. Source: add_softmax."""

    axis: int

    def infer(self, x: TensorType) -> TensorType:
        self.require_floats(x)
        self.require(0 <= self.axis < x.rank, f"axis {self.axis} is outside 0..{x.rank - 1} of {x}")
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        wide = x.float()
        exponential = torch.exp(wide - wide.amax(self.axis, keepdim=True))
        return (exponential / exponential.sum(self.axis, keepdim=True)).to(x.dtype)

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        return x.rank > 1

    def expand(self, x: Tensor) -> Tensor:
        """With a leading size of 1, which TensorRT asks of a vector."""
        y = SoftMax(axis=self.axis + 1)(Unsqueeze(axes=(0,))(x))
        return Squeeze(axes=(0,))(y)

    def lower(self, api: Api, x: Any) -> Any:
        layer = api.add_softmax(x)
        layer.axes = 1 << self.axis
        return layer
