"""``FakeQuantize``: values as the 256 steps of int8 have them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from trtdsl.errors import BuildError, explain
from trtdsl.ir.base import Layer
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["INT8", "FakeQuantize", "rounded", "spread"]

INT8 = (-128, 127)
"""The least and the last step."""


@dataclass(frozen=True, kw_only=True)
class FakeQuantize(Layer):
    """``clamp(round(x / scale), -128, 127) * scale``, ties to even; a float in, a float out.

    Inputs: x of rank 1 and more, and a constant scale of its dtype: one for all of x, ``()``, or
    one for each element ``(C,)`` of ``axis``, for weights only. TensorRT gets a layer to int8 and
    one back, and computes in int8 what stands between such pairs: a convolution or a product whose
    operands are quantized. So not even a constant is folded into one. Scales are positive.
    Source: add_quantize and add_dequantize of INetworkDefinition.
    """

    weight_operands: ClassVar[frozenset[int]] = frozenset({1})
    folds: ClassVar[bool] = False

    axis: int | None = None

    def infer(self, x: TensorType, scale: TensorType) -> TensorType:
        self.require_floats(x, scale)
        self.require(x.rank > 0, f"takes ranks from 1 on, not {x}")
        if self.axis is None:
            self.require(scale.rank == 0, f"takes one scale, not {scale}", fix="name their axis")
            return x
        self.require(0 <= self.axis < x.rank, f"{x} has no such axis")
        wanted = (x.shape[self.axis],)
        self.require(scale.shape == wanted, f"takes scales of sizes {wanted}, not {scale}")
        return x

    def evaluate(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        step = scale.float()
        if self.axis is not None:
            step = step.reshape(-1, *(1,) * (x.dim() - 1 - self.axis))
        return ((x.float() / step).round().clamp(-128, 127) * step).to(x.dtype)

    def lower(self, api: Api, x: Any, scale: Any) -> tuple[Any]:
        from trtdsl.tensorrt_api import Folded

        if not isinstance(scale, Folded):
            raise BuildError(
                explain(
                    f"{self}: the scale is one that an input reaches, and TensorRT builds it in",
                    fix="give a constant, net.constant(torch.tensor(0.1))",
                )
            )
        step: torch.Tensor = scale.tensor
        # TensorRT 8.6's layers have scales of float32 only, whatever is around them.
        given = api.constant(step if api.strongly_typed else step.float())
        to, back = api.int8_and_back(x, given, DType.of(step.dtype))
        if self.axis is not None:
            to.axis = back.axis = self.axis
        return (back.get_output(0),)


def rounded(
    x: Tensor,
    scale: Tensor,
    zero: Tensor | float = 0.0,
    *,
    axis: int | None,
    steps: tuple[int, int] = INT8,
) -> Tensor:
    """``(clamp(round(x / scale) + zero, *steps) - zero) * scale`` in float32, of x's dtype.

    With an ``axis`` the scale is one for each of its elements, ``(C,)``; zero broadcasts to x.
    """
    from trtdsl.ir.elementwise import Unary, UnaryOperation
    from trtdsl.operators import maximum, minimum

    step = spread(scale.cast(DType.FLOAT32), axis, x)
    at = Unary(op=UnaryOperation.ROUND)(x.cast(DType.FLOAT32) / step) + zero
    return ((maximum(minimum(at, steps[1]), steps[0]) - zero) * step).cast(x.dtype)


def spread(values: Tensor, axis: int | None, x: Tensor) -> Tensor:
    """Values ``(C,)`` of an axis of x, or one for all of it, as they broadcast to x."""
    if axis is None:
        return values
    return values.reshape(-1, *(1,) * (x.rank - 1 - axis))
