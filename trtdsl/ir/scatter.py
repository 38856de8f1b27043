"""``Scatter``: a tensor with elements or slices replaced, where indices say that are tensors."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.cast import Cast
from trtdsl.ir.detour import Mover
from trtdsl.types import DType, TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Scatter", "ScatterMode"]

_NARROW = {DType.BOOL, DType.INT8}


class ScatterMode(Enum):
    """How indices are read. Source: tensorrt.ScatterMode."""

    ELEMENT = auto()
    """Each index replaces its own coordinate along ``axis``."""
    ND = auto()
    """Each vector of indices along the last axis is the coordinate of a slice."""


@dataclass(frozen=True, kw_only=True)
class Scatter(Mover):
    """x with updates written to int32 or int64 indices. Source: add_scatter.

    ELEMENT: ``y[index[i, j], j] = updates[i, j]`` for axis 0; the updates have the indices' shape,
    which is x's but for that axis.
    ND: ``(n0, .., nk, *B), (*I, k + 1), (*I, *B) -> (n0, .., nk, *B)``.

    Indices count from the front and stay inside. Two updates of one place are undefined.
    """

    mode: ScatterMode = ScatterMode.ELEMENT
    axis: int = 0

    def infer(self, x: TensorType, indices: TensorType, updates: TensorType) -> TensorType:
        self.require(
            indices.dtype in (DType.INT32, DType.INT64),
            f"indices are integers, not {indices}",
        )
        self.require(x.dtype is updates.dtype, f"dtypes differ: {x} and {updates}")
        self.require(x.rank > 0 and indices.rank > 0, f"takes ranks from 1 on: {x}, {indices}")
        if self.mode is ScatterMode.ELEMENT:
            self.require(0 <= self.axis < x.rank, f"{x} has no such axis")
            wanted = (*x.shape[: self.axis], indices.shape[self.axis], *x.shape[self.axis + 1 :])
            self._alike(indices, x.with_shape(wanted))
            self._alike(updates, x.with_shape(wanted))
            return x
        depth = indices.shape[-1]
        self.require(
            isinstance(depth, int) and 1 <= depth <= x.rank,
            f"{indices} has coordinates of {depth} axes, for {x}",
        )
        self._alike(updates, x.with_shape((*indices.shape[:-1], *x.shape[depth:])))
        return x

    def _alike(self, given: TensorType, wanted: TensorType) -> None:
        pairs = zip(given.shape, wanted.shape, strict=False)
        fits = all(not is_static(sizes) or sizes[0] == sizes[1] for sizes in pairs)
        self.require(given.rank == wanted.rank and fits, f"{given} is not of shape {wanted.shape}")

    def evaluate(
        self, x: torch.Tensor, indices: torch.Tensor, updates: torch.Tensor
    ) -> torch.Tensor:
        if self.mode is ScatterMode.ELEMENT:
            return x.scatter(self.axis, indices.long(), updates)
        return x.index_put(indices.long().unbind(-1), updates)

    def takes(self, *inputs: TensorType) -> bool:
        return super().takes(*inputs) and inputs[0].dtype not in _NARROW

    def expand(self, *inputs: Tensor) -> Any:
        """One-byte elements by way of wider ones."""
        x, indices, updates = inputs
        if x.dtype not in _NARROW:
            return super().expand(*inputs)
        wide = Cast(dtype=DType.INT32)
        return Cast(dtype=x.dtype)(self(wide(x), indices, wide(updates)))

    def lower(self, api: Api, x: Any, indices: Any, updates: Any) -> Any:
        layer = api.add_scatter(x, indices, updates, api.enum("ScatterMode", self.mode))
        if self.mode is ScatterMode.ELEMENT:
            layer.axis = self.axis
        return layer
