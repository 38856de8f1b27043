"""``NonZero``: where a tensor is true, as many positions as there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.gather import Gather
from trtdsl.ir.shape import Shape
from trtdsl.types import Dim, DType, TensorType, symbols

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["NonZero", "counted", "positions"]


@dataclass(frozen=True, kw_only=True)
class NonZero(Layer):
    """The positions of true elements in the order of memory: bool ``(*S)`` -> ``(rank, count)``.

    int32, a column a position; rank 1 or more. ``count`` is the symbol that stands for their
    number, of ``Network.unknown``. Source: add_non_zero.
    """

    count: Dim

    def infer(self, x: TensorType) -> TensorType:
        self.require(x.dtype is DType.BOOL, f"takes bool, not {x}")
        self.require(x.rank > 0, f"takes ranks from 1 on, not {x}")
        return TensorType(DType.INT32, (x.rank, self.count))

    @property
    def decides(self) -> frozenset[str]:
        return frozenset(symbols([self.count]))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x.nonzero().t().int()

    def lower(self, api: Api, x: Any) -> Any:
        y = api.add_non_zero(x).get_output(0)
        api.measure(self.count, y, 1)
        return y


def positions(mask: Tensor) -> Tensor:
    """Where a bool tensor of rank 1 or more is true: int32 ``(rank, n)``, n a size of its own.

    The same mask gives the same positions, so what one mask picks from two tensors fits together.
    """
    net = mask.network
    for operation in reversed(net.operations):
        if isinstance(operation.layer, NonZero) and operation.inputs == (mask,):
            return operation.outputs[0]
    count = net.unknown(max=net.bounds(mask.type.volume)[1])
    found = NonZero(count=count)(mask)
    net.numbers[count.name] = counted(found, 1)
    return found


def counted(x: Tensor, axis: int) -> Tensor:
    """The size of x along an axis as an int64 scalar."""
    return Gather(axis=0)(Shape()(x), x.network.constant(axis, DType.INT64))
