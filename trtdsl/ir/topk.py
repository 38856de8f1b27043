"""``TopK``: the largest or smallest elements along an axis, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["LARGEST_K", "TopK", "TopKOperation"]

LARGEST_K = 3840
"""The most elements that TensorRT's TopK gives back. Source: TensorRT's operator reference."""


class TopKOperation(Enum):
    """Which elements a TopK takes. Source: tensorrt.TopKOperation."""

    MAX = auto()
    MIN = auto()


@dataclass(frozen=True, kw_only=True)
class TopK(Layer):
    """The first ``k`` of the elements along ``axis``, sorted by ``op``, and their indices.

    x float ``(*S, N, *T)`` gives two of ``(*S, k, *T)``: the values, and int32 indices. The order
    of equal elements is TensorRT's. Source: INetworkDefinition.add_topk.
    """

    op: TopKOperation
    k: int
    axis: int

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        self.require(x.dtype.is_float, f"takes floats, not {x}")
        self.require(0 <= self.axis < x.rank, f"axis {self.axis} is outside 0..{x.rank - 1} of {x}")
        self.require(1 <= self.k <= LARGEST_K, f"k {self.k} is outside 1..{LARGEST_K}")
        size = x.shape[self.axis]
        self.require(
            not isinstance(size, int) or self.k <= size,
            f"k {self.k} is more than the {size} elements of axis {self.axis} in {x}",
        )
        values = x.with_shape((*x.shape[: self.axis], self.k, *x.shape[self.axis + 1 :]))
        return values, values.with_dtype(DType.INT32)

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        # A stable sort names the first of equal elements.
        descending = self.op is TopKOperation.MAX
        values, indices = torch.sort(x, dim=self.axis, descending=descending, stable=True)
        values, indices = (t.narrow(self.axis, 0, self.k) for t in (values, indices))
        return values, indices.int()

    def lower(self, api: Api, x: Any) -> tuple[Any, Any]:
        # TensorRT takes no vectors: they go through as matrices of one row.
        vector = len(x.shape) == 1
        if vector:
            x = _reshaped(api, x, (1, -1))
        axes = 1 << (self.axis + vector)
        layer = api.add_topk(x, api.enum("TopKOperation", self.op), self.k, axes)
        values, indices = layer.get_output(0), layer.get_output(1)
        if vector:
            return _reshaped(api, values, (self.k,)), _reshaped(api, indices, (self.k,))
        return values, indices


def _reshaped(api: Api, x: Any, shape: tuple[int, ...]) -> Any:
    layer = api.add_shuffle(x)
    layer.reshape_dims = shape
    return layer.get_output(0)
