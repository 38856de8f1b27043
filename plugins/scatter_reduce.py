"""Scatter with a reduction: sum, prod, mean, amax, amin.

``trtdsl.layers.scatter`` does the same by a table of every update against every place.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.layers import scatter
from trtdsl.layers.places import Places
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "ScatterReduce", "scatter_add", "scatter_reduce"]

_REDUCTIONS = ("sum", "prod", "mean", "amax", "amin")
_INTEGERS = (DType.INT32, DType.INT64)
_THREADS = 1 << 15
"""About as many as a GPU runs at once."""


@dataclass(frozen=True, kw_only=True)
class ScatterReduce(Plugin, kernel="scatter_reduce.cu"):
    """x with the reduction of the updates of each place, x's own included or not.

    Inputs: x of floats, int32 or int64, an int32 or int64 index and updates of x's dtype, all of
    one shape but for the axis, along which the latter two have one size. Output: x's type.
    ``y[index[i, j], j]`` takes ``updates[i, j]`` for axis 0; an index outside of x is passed over.

    Deterministic: a place's updates are joined in their order, without atomics, floats in float32
    and integers in int64, so that a line of updates is read by every thread that owns some of the
    line's places.
    Errors: ShapeError. Source: aten::scatter_reduce.two.
    """

    axis: int
    reduction: str = "sum"
    include_self: bool = True

    def infer(self, x: TensorType, index: TensorType, updates: TensorType) -> TensorType:
        one_of = f"reduction is one of {', '.join(_REDUCTIONS)}"
        self.require(self.reduction in _REDUCTIONS, one_of)
        self.require(0 <= self.axis < x.rank, f"axis {self.axis} is none of {x}")
        self.require(x.rank == index.rank == updates.rank, f"ranks: {x}, {index}, {updates}")
        self.require(x.dtype is updates.dtype, f"takes one dtype, not {x} and {updates}")
        self.require(x.dtype.is_float or x.dtype in _INTEGERS, f"does not take {x}")
        self.require(index.dtype in _INTEGERS, f"takes an index of integers, not {index}")
        return x

    def evaluate(self, x: torch.Tensor, index: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        inside = (index >= 0) & (index < x.shape[self.axis])
        wide = torch.float32 if x.is_floating_point() else x.dtype
        spare = torch.zeros_like(x.narrow(self.axis, 0, 1), dtype=wide)
        whole = torch.cat([x.to(wide), spare], self.axis)  # for updates of no place
        places = torch.where(inside, index, x.shape[self.axis]).long()
        y = whole.scatter_reduce(
            self.axis, places, updates.to(wide), self.reduction, include_self=self.include_self
        )
        return y.narrow(self.axis, 0, x.shape[self.axis]).to(x.dtype)

    def defines(self, *dtypes: DType) -> tuple[tuple[str, str], ...]:
        sums = "float" if dtypes[0].is_float else DType.INT64.value
        return (*super().defines(*dtypes), ("SUMS", sums))

    def workspace(self, x: TensorType, index: TensorType, updates: TensorType) -> int:
        return int(x.volume * ((4 if x.dtype.is_float else 8) + 4))

    def launch(
        self,
        x: Buffer,
        index: Buffer,
        updates: Buffer,
        y: Buffer,
        *,
        workspace: Buffer | None,
    ) -> Launch:
        size, inner = x.shape[self.axis], math.prod(x.shape[self.axis + 1 :])
        lines = x.volume // size if size else 0
        own = max(1, lines * size // _THREADS)
        owners = -(-size // own)
        rule = _REDUCTIONS.index(self.reduction), self.include_self
        sizes = size, inner, index.shape[self.axis], own, owners
        return per_element(
            "scatter_reduce",
            lines * owners,
            x,
            index,
            updates,
            y,
            workspace,
            x.volume,
            *sizes,
            *rule,
        )


def scatter_reduce(
    x: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """``aten::scatter_reduce``: x with the reduction of the sources of each place."""
    if not (x.dtype.is_float or x.dtype in _INTEGERS):
        y: Tensor = scatter.scatter_reduce(x, dim, index, src, reduce, include_self=include_self)
        return y

    def write(places: Places, whole: Tensor, updates: Tensor) -> Tensor:
        plugin = ScatterReduce(axis=places.axis, reduction=reduce, include_self=include_self)
        return plugin(whole, places.index, updates)

    reduced: Tensor = scatter.elements(x, dim, index, src, write)
    return reduced


def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """``aten::scatter_add``: x with the sources of each place added."""
    return scatter_reduce(x, dim, index, src, "sum")


CONVERTERS = {
    torch.ops.aten.scatter_reduce.two: scatter_reduce,
    torch.ops.aten.scatter_add.default: scatter_add,
}
