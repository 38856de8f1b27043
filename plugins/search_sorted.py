"""Places in a sorted sequence, by halves.

``trtdsl.layers.counting`` does the same by comparing every value with the whole sequence.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.gather import Gather, GatherMode
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Operand, Tensor
from trtdsl.operators import as_tensor
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "SearchSorted", "bucketize", "searchsorted"]


@dataclass(frozen=True, kw_only=True)
class SearchSorted(Plugin, kernel="search_sorted.cu"):
    """Where values belong in a sorted sequence: before equal elements, or behind them (``right``).

    Inputs: the sequence ``(n,)`` with values of any shape, or sequences ``(*S, n)`` with values
    ``(*S, m)``; of one dtype. Output: int64, or int32 with ``narrow``, in the values' shape. A NaN
    belongs at the end. Exact.
    Errors: ShapeError. Source: aten::searchsorted, aten::bucketize.
    """

    right: bool = False
    narrow: bool = False

    def infer(self, sequence: TensorType, values: TensorType) -> TensorType:
        given = f"{sequence} and {values}"
        self.require(sequence.dtype is values.dtype, f"takes one dtype, not {given}")
        fits = sequence.rank == 1 or (sequence.rank == values.rank > 1)
        self.require(fits, f"takes (n,), or (*S, n) and (*S, m), not {given}")
        return values.with_dtype(DType.INT32 if self.narrow else DType.INT64)

    def evaluate(self, sequence: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        if sequence.ndim > 1:
            sequence = sequence.unsqueeze(-2)
        one = values.unsqueeze(-1)
        behind = sequence > one if self.right else sequence >= one
        places = (~behind).sum(-1)
        return places.int() if self.narrow else places

    def launch(
        self, sequence: Buffer, values: Buffer, places: Buffer, *, workspace: Buffer | None
    ) -> Launch:
        shared, length = len(sequence.shape) == 1, sequence.shape[-1]
        each = 1 if shared else values.shape[-1]
        sizes = length, each, shared, self.right
        return per_element("search_sorted", values.volume, sequence, values, places, *sizes)


def searchsorted(
    sorted_sequence: Tensor,
    x: Operand,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """``aten::searchsorted``: int64 places of x's elements, or int32 ones."""
    if sorter is not None:
        layer = Gather(mode=GatherMode.ELEMENT, axis=sorted_sequence.rank - 1)
        sorted_sequence = layer(sorted_sequence, sorter)
    return _places(sorted_sequence, x, right or side == "right", out_int32)


def bucketize(
    x: Operand, boundaries: Tensor, *, out_int32: bool = False, right: bool = False
) -> Tensor:
    """``aten::bucketize``: int64 places of x's elements among the boundaries, or int32 ones."""
    return _places(boundaries, x, right, out_int32)


def _places(sequence: Tensor, x: Operand, right: bool, narrow: bool) -> Tensor:
    values = x if isinstance(x, Tensor) else as_tensor(x, sequence.network)
    if sequence.dtype is not values.dtype:
        wide = DType.of(torch.promote_types(sequence.dtype.torch, values.dtype.torch))
        sequence, values = sequence.cast(wide), values.cast(wide)
    return SearchSorted(right=right, narrow=narrow)(sequence, values)


_aten = torch.ops.aten

CONVERTERS = {
    _aten.searchsorted.Tensor: searchsorted,
    _aten.searchsorted.Scalar: searchsorted,
    _aten.bucketize.Tensor: bucketize,
    _aten.bucketize.Scalar: bucketize,
}
