"""``Concatenation``: tensors one after the other along an axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.detour import Mover
from trtdsl.types import TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Concatenation"]


@dataclass(frozen=True, kw_only=True)
class Concatenation(Mover):
    """The inputs, of one dtype and rank, one after the other along ``axis``.

    All other sizes are equal; nothing broadcasts. Source: INetworkDefinition.add_concatenation.
    """

    axis: int

    def infer(self, *inputs: TensorType) -> TensorType:
        self.require(len(inputs) > 0, "takes at least one input")
        first = inputs[0]
        self.require(0 <= self.axis < first.rank, f"{first} has no such axis")
        for x in inputs[1:]:
            self.require(x.dtype is first.dtype, f"dtypes differ: {first} and {x}")
            self.require(x.rank == first.rank, f"ranks differ: {first} and {x}")
            for axis, sizes in enumerate(zip(first.shape, x.shape, strict=True)):
                agree = axis == self.axis or not is_static(sizes) or sizes[0] == sizes[1]
                self.require(agree, f"sizes of axis {axis} differ: {first} and {x}")
        total = sum(x.shape[self.axis] for x in inputs)
        return first.with_shape((*first.shape[: self.axis], total, *first.shape[self.axis + 1 :]))

    def evaluate(self, *inputs: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.cat(inputs, self.axis)

    def lower(self, api: Api, *inputs: Any) -> Any:
        layer = api.add_concatenation(list(inputs))
        layer.axis = self.axis
        return layer
