"""``Reduce``: sums, products, extremes and means along axes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Reduce", "ReduceOperation"]


class ReduceOperation(Enum):
    """What a Reduce makes of the elements. Source: tensorrt.ReduceOperation."""

    SUM = auto()
    PROD = auto()
    MAX = auto()
    MIN = auto()
    AVG = auto()


_WIDE_ENOUGH = {DType.INT32, DType.INT64}


@dataclass(frozen=True, kw_only=True)
class Reduce(Layer):
    """``op`` over ``axes``, which stay as sizes of 1 with ``keep_dimensions`` and vanish without.

    Floats, int32 and int64 (AVG floats only), in x's dtype. Of no elements MAX is the lowest number
    of the dtype and MIN the largest, infinite ones of floats.
    Source: INetworkDefinition.add_reduce.
    """

    op: ReduceOperation
    axes: tuple[int, ...]
    keep_dimensions: bool = False

    def infer(self, x: TensorType) -> TensorType:
        integer = x.dtype in _WIDE_ENOUGH and self.op is not ReduceOperation.AVG
        wide = "float32" if self.op is ReduceOperation.AVG else "int32 or float32"
        self.require(x.dtype.is_float or integer, f"takes no {x}", fix=f"cast to {wide} before it")
        self.require(len(self.axes) > 0, f"no axes to reduce in {x}")
        self.require(
            len(set(self.axes)) == len(self.axes) and all(0 <= a < x.rank for a in self.axes),
            f"axes are not distinct or outside 0..{x.rank - 1} of {x}",
        )
        kept = ((a, d) for a, d in enumerate(x.shape) if self.keep_dimensions or a not in self.axes)
        return x.with_shape(tuple(1 if a in self.axes else d for a, d in kept))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        import torch

        match self.op:
            case ReduceOperation.SUM:
                return torch.sum(x, self.axes, self.keep_dimensions, dtype=x.dtype)
            case ReduceOperation.AVG:
                return torch.mean(x, self.axes, self.keep_dimensions)
            case ReduceOperation.MAX:
                return torch.amax(self._with_limit(x), self.axes, self.keep_dimensions)
            case ReduceOperation.MIN:
                return torch.amin(self._with_limit(x), self.axes, self.keep_dimensions)
            case ReduceOperation.PROD:
                for axis in sorted(self.axes, reverse=True):
                    x = torch.prod(x, axis, self.keep_dimensions, dtype=x.dtype)
                return x

    def _with_limit(self, x: torch.Tensor) -> torch.Tensor:
        """x, or of no elements to reduce one that any other is instead of."""
        import torch

        if all(x.shape[axis] for axis in self.axes):
            return x
        kept = [1 if a in self.axes else n for a, n in enumerate(x.shape)]
        largest = self.op is ReduceOperation.MIN
        if x.is_floating_point():
            return x.new_full(kept, torch.inf if largest else -torch.inf)
        limits = torch.iinfo(x.dtype)
        return x.new_full(kept, limits.max if largest else limits.min)

    def lower(self, api: Api, x: Any) -> Any:
        axes = sum(1 << axis for axis in self.axes)
        return api.add_reduce(x, api.enum("ReduceOperation", self.op), axes, self.keep_dimensions)
