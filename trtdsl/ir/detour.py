"""Detours around a dtype that a TensorRT layer does not take: by way of another, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    from trtdsl.network import Tensor

__all__ = ["Mover", "detour"]


def detour(layer: Layer, inputs: tuple[Tensor, ...], around: DType) -> Any:
    """The layer in float32, which holds every value of ``around``, a smaller dtype.

    Inputs of other dtypes stay as they are; outputs in float32 become ``around`` again.
    Errors: ShapeError where no input is of ``around``, so that there is nothing to go around.
    """
    if all(x.dtype is not around for x in inputs):
        return Layer.expand(layer, *inputs)
    wide = (Cast(dtype=DType.FLOAT32)(x) if x.dtype is around else x for x in inputs)
    outputs = layer.outputs(*wide)
    back = tuple(Cast(dtype=around)(y) if y.dtype is DType.FLOAT32 else y for y in outputs)
    return back[0] if len(back) == 1 else back


class Mover(Layer):
    """A layer that moves elements of any dtype.

    TensorRT's uint8 only enters and leaves a network: it is to be converted "prior to use with
    other TensorRT layers". Source: DataType::kUINT8.
    """

    def takes(self, *inputs: TensorType) -> bool:
        return all(x.dtype is not DType.UINT8 for x in inputs)

    def expand(self, *inputs: Tensor) -> Any:
        """By way of float32."""
        return detour(self, inputs, around=DType.UINT8)
