"""``Cast`` and ``Identity``: the same values, in another dtype or under another name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Cast", "Identity"]


@dataclass(frozen=True, kw_only=True)
class Cast(Layer):
    """x in ``dtype``; floats round toward zero, anything but 0 becomes True. Source: add_cast."""

    dtype: DType

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.dtype.torch)

    def lower(self, api: Api, x: Any) -> Any:
        return api.cast(x, self.dtype)


@dataclass(frozen=True, kw_only=True)
class Identity(Layer):
    """x itself, as a tensor of its own. Source: INetworkDefinition.add_identity."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def lower(self, api: Api, x: Any) -> Any:
        return api.add_identity(x)
