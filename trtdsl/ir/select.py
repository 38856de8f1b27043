"""``Select``: one tensor's elements where a condition holds, another's where it does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.detour import Mover
from trtdsl.types import DType, TensorType, broadcast

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Select"]


@dataclass(frozen=True, kw_only=True)
class Select(Mover):
    """``condition ? x : y``, element by element; sizes of 1 broadcast. Source: add_select.

    The condition is bool, x and y are of one dtype, and the three of one rank.
    """

    def infer(self, condition: TensorType, x: TensorType, y: TensorType) -> TensorType:
        self.require(condition.dtype is DType.BOOL, f"the condition is no bool: {condition}")
        self.require(x.dtype is y.dtype, f"dtypes differ: {x} and {y}")
        self.require(condition.rank == x.rank == y.rank, f"ranks differ: {condition}, {x} and {y}")
        try:
            shape = broadcast(condition.shape, x.shape, y.shape)
        except ValueError:
            self.require(False, f"shapes do not broadcast: {condition}, {x} and {y}")
        return x.with_shape(shape)

    def evaluate(self, condition: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.where(condition, x, y)

    def lower(self, api: Api, condition: Any, x: Any, y: Any) -> Any:
        return api.add_select(condition, x, y)
