"""Values rounded to a few steps, as models have them that were trained to be quantized."""

from __future__ import annotations

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.fake_quantize import INT8, FakeQuantize, rounded, spread
from trtdsl.network import Tensor
from trtdsl.operators import maximum, minimum
from trtdsl.reference import fold, settle
from trtdsl.registry import converter

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.fake_quantize_per_tensor_affine.default)
def fake_quantize_per_tensor_affine(
    x: Tensor, scale: float, zero_point: int, quant_min: int, quant_max: int
) -> Tensor:
    """``(clamp(round(x / scale) + zero_point, quant_min, quant_max) - zero_point) * scale``.

    In int8 where the zero point is 0 and the steps are int8's; in floats, and the same, elsewhere.
    """
    step = x.network.constant(torch.tensor(scale))
    return _quantized(x, step, torch.tensor([zero_point]), None, (quant_min, quant_max))


@converter(aten.fake_quantize_per_tensor_affine.tensor_qparams)
def fake_quantize_per_tensor_affine_tensor_qparams(
    x: Tensor, scale: Tensor, zero_point: Tensor, quant_min: int, quant_max: int
) -> Tensor:
    """``fake_quantize_per_tensor_affine`` by a scale and a zero point that are buffers."""
    zeros = _known(zero_point, "zero_point")
    _require_constant(scale, "scale")
    return _quantized(x, scale.reshape(), zeros, None, (quant_min, quant_max))


@converter(aten.fake_quantize_per_channel_affine.default)
def fake_quantize_per_channel_affine(
    x: Tensor, scale: Tensor, zero_point: Tensor, axis: int, quant_min: int, quant_max: int
) -> Tensor:
    """``fake_quantize_per_tensor_affine`` with a scale for each element ``(C,)`` of an axis."""
    zeros = _known(zero_point, "zero_point")
    _require_constant(scale, "scale")
    return _quantized(x, scale, zeros, axis, (quant_min, quant_max))


def _known(x: Tensor, name: str) -> torch.Tensor:
    _require_constant(x, name)
    settle(x)
    return fold(x)


def _require_constant(x: Tensor, name: str) -> None:
    if x.is_constant:
        return
    raise ConversionError(
        explain(
            f"{name} of a quantization is {x}, which an input reaches: TensorRT builds it in",
            fix="keep it in a buffer, and call model.eval() or disable_observer before converting",
        )
    )


def _quantized(
    x: Tensor, scale: Tensor, zeros: torch.Tensor, axis: int | None, steps: tuple[int, int]
) -> Tensor:
    step = scale.cast(x.dtype)
    symmetric = not zeros.any()
    takes = x.rank > 0 and (axis is None or x.is_constant)  # activations have one scale
    if symmetric and takes and INT8[0] <= steps[0] and steps[1] <= INT8[1]:
        if steps != INT8:
            low, high = (spread(step, axis, x) * n for n in steps)
            x = maximum(minimum(x, high), low)
        return FakeQuantize(axis=axis)(x, step)
    zero = x.network.constant(zeros.float().reshape(scale.shape))
    return rounded(x, scale, spread(zero, axis, x), axis=axis, steps=steps)
