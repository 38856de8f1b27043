"""``Fill``: numbers at even steps, as many as a size says that may only be known at run time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import Dim, DType, TensorType, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["Fill"]

_DTYPES = {DType.FLOAT32, DType.INT32, DType.INT64}


@dataclass(frozen=True, kw_only=True)
class Fill(Layer):
    """``alpha + beta * i`` for i from 0 to ``shape[0] - 1``: a vector of float32, int32 or int64.

    A ``beta`` of 0 repeats ``alpha``. Source: add_fill with FillOperation.LINSPACE.
    """

    shape: tuple[Dim, ...]
    alpha: float = 0
    beta: float = 1
    dtype: DType = DType.INT64

    def infer(self) -> TensorType:
        self.require(len(self.shape) == 1, f"shape {self.shape} is no vector's")
        self.require(self.dtype in _DTYPES, f"gives no {self.dtype.value}")
        whole = float(self.alpha).is_integer() and float(self.beta).is_integer()
        self.require(
            self.dtype.is_float or whole, f"{self.alpha} and {self.beta} are no {self.dtype.value}"
        )
        return TensorType(self.dtype, self.shape)

    def evaluate(self) -> torch.Tensor:
        import torch

        index = torch.arange(self.shape[0], dtype=self.dtype.torch)
        return index * self._number(self.beta) + self._number(self.alpha)

    def lower(self, api: Api) -> Any:
        dtype, static = api.dtype(self.dtype), is_static(self.shape)
        call = (list(self.shape) if static else [1], api.trt.FillOperation.LINSPACE)
        if api.fill_takes_dtype:
            layer = api.add_fill(*call, dtype)
        else:
            layer = api.add_fill(*call)
            layer.set_output_type(0, dtype)
        if not static:
            layer.set_input(0, api.shape_tensor(self.shape))
        # From 10.0 on an int makes TensorRT's parameter an int64 and a float makes it a double,
        # which holds every int32 too.
        number = int if self.dtype is DType.INT64 else float
        layer.alpha, layer.beta = number(self.alpha), number(self.beta)
        return layer

    def _number(self, value: float) -> float:
        return float(value) if self.dtype.is_float else int(value)
