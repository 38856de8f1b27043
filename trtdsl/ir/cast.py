"""``Cast`` and ``Identity``: the same values, in another dtype or under another name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ShapeError
from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Cast", "Identity"]

_BESIDE_UINT8 = {DType.UINT8, DType.FLOAT32, DType.FLOAT16}


@dataclass(frozen=True, kw_only=True)
class Cast(Layer):
    """x in ``dtype``; floats round toward zero, anything but 0 becomes True. Source: add_cast.

    uint8 keeps the last eight bits of an integer.
    """

    dtype: DType

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "dtype", DType.of(self.dtype))
        except ValueError as error:
            raise ShapeError(f"cast: {error}") from None

    def infer(self, x: TensorType) -> TensorType:
        return x.with_dtype(self.dtype)

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x.to(self.dtype.torch)

    def takes(self, x: TensorType) -> bool:  # type: ignore[override]
        # "kUINT8 conversions are only supported for {kFLOAT, kHALF}." Source: DataType::kUINT8.
        dtypes = {x.dtype, self.dtype}
        return DType.UINT8 not in dtypes or dtypes <= _BESIDE_UINT8

    def expand(self, x: Tensor) -> Tensor:
        """By way of float32; TensorRT leaves open what a value beyond a byte becomes."""
        if self.dtype is DType.UINT8 and x.dtype.is_integer:
            number = Cast(dtype=DType.INT32)(x) if x.dtype is DType.INT8 else x
            x = number % 256
        return Cast(dtype=self.dtype)(Cast(dtype=DType.FLOAT32)(x))

    def lower(self, api: Api, x: Any) -> Any:
        return api.cast(x, self.dtype)


@dataclass(frozen=True, kw_only=True)
class Identity(Layer):
    """x itself, as a tensor of its own. Source: INetworkDefinition.add_identity."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def lower(self, api: Api, x: Any) -> Any:
        return api.add_identity(x)
