"""``TopK``: the largest or smallest elements along an axis, and where they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.shuffle import Shuffle
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
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

    x float ``(*S, N, *T)``, of rank 2 or more, gives two of ``(*S, k, *T)``: the values, and
    int32 indices. The order of equal elements is TensorRT's. Source: add_topk.
    """

    op: TopKOperation
    k: int
    axis: int

    def infer(self, x: TensorType) -> tuple[TensorType, TensorType]:
        self.require_floats(x)
        self.require(x.rank > 1, f"takes ranks from 2 on, not {x}")
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

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        # The axis "must be one of the last four dimensions". Source: addTopK.
        return self.axis >= x.rank - 4

    def expand(self, x: Tensor) -> tuple[Tensor, ...]:
        """With the axis last."""
        others = [axis for axis in range(x.rank) if axis != self.axis]
        last = Shuffle(first_transpose=(*others, self.axis))(x)
        back = (*range(self.axis), x.rank - 1, *range(self.axis, x.rank - 1))
        outputs = TopK(op=self.op, k=self.k, axis=x.rank - 1).outputs(last)
        return tuple(Shuffle(first_transpose=back)(y) for y in outputs)

    def lower(self, api: Api, x: Any) -> tuple[Any, Any]:
        op = api.enum("TopKOperation", self.op)
        layer = api.add_topk(x, op, self.k, 1 << self.axis)
        return layer.get_output(0), layer.get_output(1)
