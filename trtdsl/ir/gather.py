"""``Gather``: elements and slices picked out of a tensor by indices that are tensors themselves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.detour import Mover
from trtdsl.types import Dim, DType, Shape, TensorType, broadcast, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Gather", "GatherMode"]


class GatherMode(Enum):
    """How indices are read. Source: tensorrt.GatherMode."""

    DEFAULT = auto()
    """Each index picks a slice along ``axis``."""
    ELEMENT = auto()
    """Each index replaces its own coordinate along ``axis``."""
    ND = auto()
    """Each vector of indices along the last axis is the coordinate of a slice."""


@dataclass(frozen=True, kw_only=True)
class Gather(Mover):
    """Parts of x picked by int32 or int64 indices. Source: add_gather_v2.

    DEFAULT: ``(*A, n, *B), (*I) -> (*A, *I, *B)``, n being axis ``axis``; with one elementwise
    dimension, the first of both, ``(E, *A, n, *B), (E, *I) -> (E, *A, *I, *B)``.
    ELEMENT: ``y[i, j] = x[index[i, j], j]`` for axis 0; y has the indices' shape.
    ND: ``(*E, n0, .., nk, *B), (*E, *I, k + 1) -> (*E, *I, *B)`` with ``elementwise_dims`` sizes E.

    Indices count from the front, and one beyond the end reads 0. A negative one is undefined along
    a dynamic axis, so nothing may rely on it: ``evaluate`` reads 0 there too.
    """

    mode: GatherMode = GatherMode.DEFAULT
    axis: int = 0
    elementwise_dims: int = 0

    def infer(self, x: TensorType, indices: TensorType) -> TensorType:
        self.require(
            indices.dtype in (DType.INT32, DType.INT64),
            f"indices are integers, not {indices}",
        )
        self.require(0 <= self.axis < x.rank, f"{x} has no such axis")
        match self.mode:
            case GatherMode.DEFAULT:
                return x.with_shape(self._default(x, indices))
            case GatherMode.ELEMENT:
                return x.with_shape(self._element(x, indices))
            case GatherMode.ND:
                return x.with_shape(self._nd(x, indices))

    def _default(self, x: TensorType, indices: TensorType) -> Shape:
        batch = self.elementwise_dims
        self.require(batch <= 1, "has at most one elementwise dimension in mode DEFAULT")
        self.require(batch <= self.axis, "gathers along an elementwise dimension")
        self.require(batch <= indices.rank, f"{indices} lacks the elementwise dimension")
        try:
            shared = broadcast(x.shape[:batch], indices.shape[:batch])
        except ValueError:
            self.require(False, f"elementwise sizes do not broadcast: {x} and {indices}")
        before, after = x.shape[batch : self.axis], x.shape[self.axis + 1 :]
        return (*shared, *before, *indices.shape[batch:], *after)

    def _element(self, x: TensorType, indices: TensorType) -> Shape:
        self.require(indices.rank == x.rank, f"ranks differ: {x} and {indices}")
        self.require(self.elementwise_dims == 0, "has no elementwise dimensions in mode ELEMENT")
        for axis, (size, count) in enumerate(zip(x.shape, indices.shape, strict=True)):
            fits = axis == self.axis or not is_static((size, count)) or size == count
            self.require(fits, f"sizes of axis {axis} differ: {x} and {indices}")
        return indices.shape

    def _nd(self, x: TensorType, indices: TensorType) -> Shape:
        batch = self.elementwise_dims
        self.require(batch == 0 or batch < x.rank - 1, f"{x} has too few axes")
        self.require(indices.rank > batch, f"{indices} has no axis of coordinates")
        depth: Dim = indices.shape[-1]
        self.require(isinstance(depth, int), f"the last size of {indices} is not static")
        self.require(
            1 <= depth <= x.rank - batch, f"{indices} has coordinates of {depth} axes, for {x}"
        )
        for size, count in zip(x.shape[:batch], indices.shape, strict=False):
            fits = not is_static((size, count)) or size == count
            self.require(fits, f"elementwise sizes differ: {x} and {indices}")
        return (*indices.shape[:-1], *x.shape[batch + depth :])

    def evaluate(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        match self.mode:
            case GatherMode.DEFAULT:
                return self._evaluate_default(x, indices.long())
            case GatherMode.ELEMENT:
                index, inside = _bounded(indices.long(), x.shape[self.axis])
                return x.gather(self.axis, index).masked_fill(~inside, 0)
            case GatherMode.ND:
                return self._evaluate_nd(x, indices.long())

    def _evaluate_default(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        import torch

        if self.elementwise_dims:
            count = max(len(x), len(indices))
            pairs = zip(
                x.expand(count, *x.shape[1:]),
                indices.expand(count, *indices.shape[1:]),
                strict=True,
            )
            inner = Gather(axis=self.axis - 1)
            return torch.stack([inner.evaluate(a, b) for a, b in pairs])
        index, inside = _bounded(indices, x.shape[self.axis])
        picked = x.index_select(self.axis, index.reshape(-1))
        after = x.shape[self.axis + 1 :]
        picked = picked.reshape((*x.shape[: self.axis], *indices.shape, *after))
        return picked.masked_fill(~inside.reshape((*indices.shape, *[1] * len(after))), 0)

    def _evaluate_nd(self, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
        import torch

        if self.elementwise_dims:
            inner = Gather(mode=GatherMode.ND, elementwise_dims=self.elementwise_dims - 1)
            return torch.stack([inner.evaluate(a, b) for a, b in zip(x, indices, strict=True)])
        pairs = [_bounded(i, n) for i, n in zip(indices.unbind(-1), x.shape, strict=False)]
        inside = torch.stack([ok for _, ok in pairs]).all(0)
        picked = x[tuple(index for index, _ in pairs)]
        ones = [1] * (picked.dim() - inside.dim())
        return picked.masked_fill(~inside.reshape((*inside.shape, *ones)), 0)

    def lower(self, api: Api, x: Any, indices: Any) -> Any:
        layer = api.add_gather_v2(x, indices, api.enum("GatherMode", self.mode))
        if self.mode is not GatherMode.ND:
            layer.axis = self.axis
        layer.num_elementwise_dims = self.elementwise_dims
        return layer


def _bounded(index: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Indices that can be read, and where they are the ones that were asked for."""
    inside = (index >= 0) & (index < size)
    return index.clamp(0, size - 1), inside
