"""``Cumulative``: running sums along an axis, and the shifts that other running results take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Cumulative", "CumulativeOperation", "shifted", "strides"]

_INTEGERS = {DType.INT32, DType.INT64}


class CumulativeOperation(Enum):
    """What a Cumulative makes of the elements. Source: tensorrt.CumulativeOperation."""

    SUM = auto()


@dataclass(frozen=True, kw_only=True)
class Cumulative(Layer):
    """``y[j] = op(x[0], .., x[j])`` along ``axis``. Source: add_cumulative (10.8).

    x is of floats, int32 or int64. ``exclusive`` leaves x[j] out, so that the first is 0, and
    ``reverse`` runs from the end.
    """

    op: CumulativeOperation = CumulativeOperation.SUM
    axis: int
    exclusive: bool = False
    reverse: bool = False

    def infer(self, x: TensorType) -> TensorType:
        number = x.dtype.is_float or x.dtype in _INTEGERS
        self.require(number, f"takes no {x}", fix="cast to int32 before it")
        self.require(0 <= self.axis < x.rank, f"axis {self.axis} is outside 0..{x.rank - 1} of {x}")
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flip(self.axis) if self.reverse else x
        if self.exclusive:
            # A difference of sums would be NaN from the first infinity on.
            size = x.shape[self.axis]
            x = x.roll(1, self.axis).index_fill(self.axis, x.new_zeros(min(size, 1)).long(), 0)
        y = x.cumsum(self.axis, dtype=x.dtype)
        return y.flip(self.axis) if self.reverse else y

    def lower(self, api: Api, x: Any) -> Any:
        import torch

        axis = api.constant(torch.tensor(self.axis, dtype=torch.int32))
        op = api.enum("CumulativeOperation", self.op)
        return api.add_cumulative(x, axis, op, self.exclusive, self.reverse)

    def available(self, api: Api) -> bool:
        return api.has("add_cumulative")

    def expand(self, x: Tensor) -> Tensor:
        """In log2(n) sums of x and x moved on, which is exact for integers.

        Source: Hillis and Steele, "Data parallel algorithms", 1986.
        """
        sign = -1 if self.reverse else 1
        y = shifted(x, self.axis, sign) if self.exclusive else x
        for stride in strides(x, self.axis):
            y = y + shifted(y, self.axis, sign * stride)
        return y


def strides(x: Tensor, axis: int) -> Iterator[int]:
    """1, 2, 4, .. below the size of an axis, at the most that it can be.

    ``y[i] = op(y[i - stride], y[i])`` for each of them leaves ``op(x[0], .., x[i])`` in y.
    """
    largest = x.network.bounds(x.shape[axis])[1]
    stride = 1
    while stride < largest:
        yield stride
        stride *= 2


def shifted(
    x: Tensor, axis: int, by: int, mode: SampleMode = SampleMode.FILL, fill: float = 0
) -> Tensor:
    """``y[i] = x[i - by]`` along an axis; beyond the ends ``fill`` or what the mode reads."""
    start = tuple(-by if a == axis else 0 for a in range(x.rank))
    layer = Slice(start=start, shape=x.shape, stride=(1,) * x.rank, mode=mode)
    if mode is not SampleMode.FILL or fill == 0:
        return layer(x)
    return layer(x, x.network.constant(fill, x.dtype))
