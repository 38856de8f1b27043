"""Sums, products, quotients, powers and bounds of tensors and scalars."""

from __future__ import annotations

import math

import torch

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.network import Operand, Scalar, Tensor
from trtdsl.operators import (
    cast,
    logical_and,
    maximum,
    minimum,
    narrowed,
    power,
    promote,
    promoted,
    where,
    whole_part,
    widened,
)
from trtdsl.registry import converter
from trtdsl.types import DType

__all__ = ["clamp", "scaled_before", "truncated"]

aten = torch.ops.aten

_LEAST_SCALE = 2.0**-10


@converter(aten.add.Tensor)
def add(x: Tensor, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """``x + alpha * other``."""
    return x + _scaled(other, alpha, promoted(x, other))


@converter(aten.add.Scalar)
def add_scalar(x: Tensor, other: Scalar, alpha: Scalar = 1) -> Tensor:
    """``x + alpha * other``."""
    return x + _scaled(other, alpha, promoted(x, other))


@converter(aten.sub.Tensor, aten.subtract.Tensor)
def sub(x: Tensor, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """``x - alpha * other``."""
    return x - _scaled(other, alpha, promoted(x, other))


@converter(aten.sub.Scalar, aten.subtract.Scalar)
def sub_scalar(x: Tensor, other: Scalar, alpha: Scalar = 1) -> Tensor:
    """``x - alpha * other``."""
    return x - _scaled(other, alpha, promoted(x, other))


@converter(aten.rsub.Tensor)
def rsub(x: Tensor, other: Operand, *, alpha: Scalar = 1) -> Tensor:
    """``other - alpha * x``."""
    return other - _scaled(x, alpha, promoted(x, other))


@converter(aten.rsub.Scalar)
def rsub_scalar(x: Tensor, other: Scalar, alpha: Scalar = 1) -> Tensor:
    """``other - alpha * x``."""
    return other - _scaled(x, alpha, promoted(x, other))


@converter(aten.mul.Tensor, aten.mul.Scalar, aten.multiply.Tensor, aten.multiply.Scalar)
def mul(x: Tensor, other: Operand) -> Tensor:
    """``x * other``."""
    return x * other


@converter(aten.div.Tensor, aten.div.Scalar, aten.divide.Tensor, aten.true_divide.Tensor)
def div(x: Tensor, other: Operand) -> Tensor:
    """``x / other``, integers as float32."""
    return x / other


@converter(aten.div.Tensor_mode, aten.div.Scalar_mode)
def div_mode(x: Tensor, other: Operand, *, rounding_mode: str | None) -> Tensor:
    """``x / other``, rounded toward zero (``"trunc"``), down (``"floor"``) or not at all."""
    if rounding_mode is None:
        return x / other
    return x // other if rounding_mode == "floor" else _truncated_quotient(x, other)


@converter(aten.floor_divide.default, aten.floor_divide.Scalar)
def floor_divide(x: Tensor, other: Operand) -> Tensor:
    """``floor(x / other)``."""
    return x // other


@converter(aten.remainder.Tensor, aten.remainder.Scalar, aten.remainder.Scalar_Tensor)
def remainder(x: Operand, other: Operand) -> Tensor:
    """``x - other * floor(x / other)``: the sign is the divisor's."""
    result: Tensor = x % other
    return result


@converter(aten.fmod.Tensor, aten.fmod.Scalar)
def fmod(x: Tensor, other: Operand) -> Tensor:
    """``x - other * trunc(x / other)``: the sign is x's; floats by way of float32."""
    dtype = promoted(x, other)
    if not dtype.is_float:
        x, y = widened(x, other, dtype=dtype)
        return narrowed(x - _truncated_quotient(x, y) * y, dtype)
    # In half precision the product would be as coarse as x, and the difference all rounding.
    x, y = (v.cast(DType.FLOAT32) for v in widened(x, other, dtype=dtype))
    return (x - whole_part(_truncated_quotient(x, y), y, other)).cast(dtype)


@converter(aten.pow.Tensor_Tensor)
def pow_tensor(x: Tensor, exponent: Tensor) -> Tensor:
    """``x ** exponent``."""
    return power(x, exponent)


@converter(aten.pow.Scalar)
def pow_scalar(x: Scalar, exponent: Tensor) -> Tensor:
    """``x ** exponent`` of a scalar."""
    return power(x, exponent)


@converter(aten.pow.Tensor_Scalar)
def pow_tensor_scalar(x: Tensor, exponent: Scalar) -> Tensor:
    """``x ** exponent``: by products and roots where the exponent allows, for any sign of x."""
    if not promoted(x, exponent).is_float or not isinstance(exponent, int | float):
        return power(x, exponent)
    (x,) = promote(x, dtype=promoted(x, exponent))
    if exponent == 0.5:
        return Unary(op=UnaryOperation.SQRT)(x)
    if 1 <= abs(exponent) <= 8 and exponent == int(exponent):
        # Of the reciprocal, as the product of large numbers overflows sooner.
        base = x if exponent > 0 else Unary(op=UnaryOperation.RECIP)(x)
        return _product(base, int(abs(exponent)))
    return power(x, exponent)


@converter(aten.square.default)
def square(x: Tensor) -> Tensor:
    """``x * x``, of bool as int64."""
    x = x.cast(DType.INT64) if x.dtype is DType.BOOL else x
    return x * x


@converter(aten.addcmul.default)
def addcmul(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """``x + value * tensor1 * tensor2``."""
    dtype = promoted(x, tensor1, tensor2)
    x, tensor1, tensor2 = _wide(x, tensor1, tensor2)
    tensor1, value = scaled_before(tensor1, value)
    product = tensor1 * tensor2
    return (x + _scaled(product, value, product.dtype)).cast(dtype)


@converter(aten.addcdiv.default)
def addcdiv(x: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: Scalar = 1) -> Tensor:
    """``x + value * tensor1 / tensor2``."""
    dtype = promoted(x, tensor1, tensor2)
    x, tensor1, tensor2 = _wide(x, tensor1, tensor2)
    tensor1, value = scaled_before(tensor1, value)
    quotient = tensor1 / tensor2
    y = x + _scaled(quotient, value, quotient.dtype)
    return y.cast(dtype) if dtype.is_float else y


@converter(aten.lerp.Scalar, aten.lerp.Tensor)
def lerp(x: Tensor, end: Tensor, weight: Operand) -> Tensor:
    """``x + weight * (end - x)``; in half precision, which a difference may leave, the mean."""
    dtype = x.dtype
    x, end = _wide(x, end)
    if x.dtype is dtype:
        return x + (end - x) * weight
    (weight,) = _wide(weight) if isinstance(weight, Tensor) else (weight,)
    return (x * (1 - weight) + end * weight).cast(dtype)


@converter(aten.maximum.default, aten.max.other)
def maximum_(x: Tensor, other: Tensor) -> Tensor:
    """The larger of each two elements."""
    return maximum(x, other)


@converter(aten.minimum.default, aten.min.other)
def minimum_(x: Tensor, other: Tensor) -> Tensor:
    """The smaller of each two elements."""
    return minimum(x, other)


@converter(aten.clamp.default, aten.clamp.Tensor, aten.clip.default, aten.clip.Tensor)
def clamp(x: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """``min(max(x, min), max)``, either bound being optional."""
    dtype = promoted(*(v for v in (x, min, max) if v is not None))
    x = cast(x, dtype)
    match (min, max):
        case (int() | float(), int() | float()) if dtype.is_float and min <= max:
            return Activation(type=ActivationType.CLIP, alpha=float(min), beta=float(max))(x)
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)


@converter(aten.clamp_min.default, aten.clamp_min.Tensor)
def clamp_min(x: Tensor, min: Operand) -> Tensor:
    """``max(x, min)``."""
    return maximum(x, min)


@converter(aten.clamp_max.default, aten.clamp_max.Tensor)
def clamp_max(x: Tensor, max: Operand) -> Tensor:
    """``min(x, max)``."""
    return minimum(x, max)


@converter(aten.hypot.default)
def hypot(x: Tensor, other: Tensor) -> Tensor:
    """``sqrt(x ** 2 + other ** 2)``, in float32, of sides over the larger one."""
    dtype = promoted(x, other)
    x, other = x.cast(DType.FLOAT32), other.cast(DType.FLOAT32)
    x, other = (maximum(v, -v) for v in (x, other))
    largest = maximum(x, other)
    one = largest.equal(0) | largest.equal(math.inf)
    unit = where(one, 1.0, largest)
    x, other = x / unit, other / unit
    return (Unary(op=UnaryOperation.SQRT)(x * x + other * other) * unit).cast(dtype)


def _wide(*tensors: Tensor) -> tuple[Tensor, ...]:
    """16-bit numbers as float32, in which PyTorch computes what is between them and the result."""
    halves = (DType.FLOAT16, DType.BFLOAT16)
    return tuple(x.cast(DType.FLOAT32) if x.dtype in halves else x for x in tensors)


def scaled_before(x: Tensor, factor: Scalar) -> tuple[Tensor, Scalar]:
    """A tensor of a product or quotient, and what is left of a factor that makes it smaller.

    In 16 bits the product could be infinite, where PyTorch scales it in float32. By less than
    _LEAST_SCALE a tensor could lose its bits instead, and nothing would tell.
    """
    if x.dtype.is_float and _LEAST_SCALE <= abs(factor) < 1:
        return x * factor, 1
    return x, factor


def _scaled(x: Operand, factor: Scalar, dtype: DType) -> Operand:
    """``factor * x``, computed in the dtype of the sum that it is a part of."""
    if factor == 1:
        return x
    if dtype is DType.BOOL:
        return logical_and(x, bool(factor)) if isinstance(x, Tensor) else bool(x and factor)
    return x.cast(dtype) * factor if isinstance(x, Tensor) else x * factor


def _product(x: Tensor, count: int) -> Tensor:
    """``x ** count`` by repeated squaring."""
    if count == 1:
        return x
    half = _product(x, count // 2)
    return half * half * x if count % 2 else half * half


def _truncated_quotient(x: Tensor, y: Operand) -> Tensor:
    dtype = promoted(x, y)
    if dtype.is_float:
        return truncated(x / y)
    # TensorRT's DIV of integers rounds toward zero by itself.
    quotient = ElementWise(op=ElementWiseOperation.DIV)(*widened(x, y, dtype=dtype))
    return narrowed(quotient, dtype)


def truncated(x: Tensor) -> Tensor:
    """x rounded toward zero; integers as they are."""
    if not x.dtype.is_float:
        return x
    down, up = (Unary(op=op)(x) for op in (UnaryOperation.FLOOR, UnaryOperation.CEIL))
    return where(x < 0, up, down)
