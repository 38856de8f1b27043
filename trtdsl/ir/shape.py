"""``Shape`` and ``Size``: sizes as values that layers can compute with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import Dim, DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Shape", "Size"]


@dataclass(frozen=True, kw_only=True)
class Shape(Layer):
    """The sizes of x, int64 ``(rank,)``. Source: INetworkDefinition.add_shape."""

    def infer(self, x: TensorType) -> TensorType:
        return TensorType(DType.INT64, (x.rank,))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        return torch.tensor(x.shape, dtype=torch.int64, device=x.device)

    def lower(self, api: Api, x: Any) -> Any:
        return api.cast(api.add_shape(x), DType.INT64)


@dataclass(frozen=True, kw_only=True)
class Size(Layer):
    """Sizes and expressions of sizes, int64 ``(len(dims),)``.

    Source: add_shape, add_gather and add_elementwise of INetworkDefinition, one for each term.
    """

    dims: tuple[Dim, ...]

    def infer(self) -> TensorType:
        return TensorType(DType.INT64, (len(self.dims),))

    def evaluate(self) -> torch.Tensor:
        import torch

        return torch.tensor(self.dims, dtype=torch.int64)

    def lower(self, api: Api) -> Any:
        return api.cast(api.shape_tensor(self.dims), DType.INT64)
