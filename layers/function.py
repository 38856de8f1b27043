"""Mathematical functions of single elements: exponentials, logarithms, angles, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Operand, Scalar, Tensor
from trtdsl.operators import floating, maximum, minimum, power, promote, promoted, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .arithmetic import clamp, truncated

__all__ = ["absolute", "unary"]

aten = torch.ops.aten
Op = UnaryOperation


def unary(op: UnaryOperation, x: Tensor) -> Tensor:
    """``op(x)`` of floats; integers and bool as float32."""
    return Unary(op=op)(floating(x))


_OF_ONE_LAYER = {
    aten.exp.default: Op.EXP,
    aten.log.default: Op.LOG,
    aten.sqrt.default: Op.SQRT,
    aten.reciprocal.default: Op.RECIP,
    aten.sin.default: Op.SIN,
    aten.cos.default: Op.COS,
    aten.tan.default: Op.TAN,
    aten.sinh.default: Op.SINH,
    aten.cosh.default: Op.COSH,
    aten.asin.default: Op.ASIN,
    aten.acos.default: Op.ACOS,
    aten.atan.default: Op.ATAN,
    aten.asinh.default: Op.ASINH,
    aten.acosh.default: Op.ACOSH,
    aten.atanh.default: Op.ATANH,
    aten.erf.default: Op.ERF,
}
_OF_INTEGERS_THEMSELVES = {
    aten.ceil.default: Op.CEIL,
    aten.floor.default: Op.FLOOR,
    aten.round.default: Op.ROUND,
}


def _function(op: UnaryOperation) -> Callable[[Tensor], Tensor]:
    def convert(x: Tensor) -> Tensor:
        return unary(op, x)

    return convert


def _rounding(op: UnaryOperation) -> Callable[[Tensor], Tensor]:
    def convert(x: Tensor) -> Tensor:
        return Unary(op=op)(x) if x.dtype.is_float else x

    return convert


for _operator, _op in _OF_ONE_LAYER.items():
    converter(_operator)(_function(_op))
for _operator, _op in _OF_INTEGERS_THEMSELVES.items():
    converter(_operator)(_rounding(_op))


@converter(aten.abs.default)
def absolute(x: Tensor) -> Tensor:
    """``|x|``."""
    if x.dtype in (DType.BOOL, DType.UINT8):
        return x
    # TensorRT's ABS takes floats.
    return Unary(op=Op.ABS)(x) if x.dtype.is_float else maximum(x, -x)


@converter(aten.neg.default)
def neg(x: Tensor) -> Tensor:
    """``-x``."""
    return -x


@converter(aten.sign.default, aten.sgn.default)
def sign(x: Tensor) -> Tensor:
    """-1, 0 or 1."""
    if x.dtype is DType.BOOL:
        return x
    if x.dtype is DType.UINT8:
        return minimum(x, 1)
    # TensorRT's SIGN takes no int64.
    return Unary(op=Op.SIGN)(x) if x.dtype.is_float else minimum(maximum(x, -1), 1)


@converter(aten.exp2.default)
def exp2(x: Tensor) -> Tensor:
    """``2 ** x``."""
    return power(2.0, floating(x))


@converter(aten.expm1.default)
def expm1(x: Tensor) -> Tensor:
    """``exp(x) - 1`` as ``tanh(x / 2) * (exp(x) + 1)``, which keeps its digits near 0."""
    x = floating(x)
    return Activation(type=ActivationType.TANH)(x * 0.5) * (unary(Op.EXP, x) + 1)


@converter(aten.log1p.default)
def log1p(x: Tensor) -> Tensor:
    """``log(1 + x)``, near 0 as ``2 * atanh(x / (x + 2))``, which keeps its digits there."""
    x = floating(x)
    near = unary(Op.ATANH, x / (x + 2)) * 2
    return where(absolute(x) < 0.5, near, unary(Op.LOG, x + 1))


@converter(aten.log2.default)
def log2(x: Tensor) -> Tensor:
    """``log(x) / log(2)``."""
    return unary(Op.LOG, x) * (1 / math.log(2))


@converter(aten.log10.default)
def log10(x: Tensor) -> Tensor:
    """``log(x) / log(10)``."""
    return unary(Op.LOG, x) * (1 / math.log(10))


@converter(aten.rsqrt.default)
def rsqrt(x: Tensor) -> Tensor:
    """``1 / sqrt(x)``."""
    return unary(Op.RECIP, unary(Op.SQRT, x))


@converter(aten.atan2.default)
def atan2(x: Tensor, other: Tensor) -> Tensor:
    """The angle of the point ``(other, x)``; zeros count as positive."""
    y, x = promote(x, other, dtype=_float_of(x, other))
    upright = x.equal(0)
    half = unary(Op.ATAN, y / where(upright, 0, x, x.dtype))
    turned = half + where(y < 0, -math.pi, math.pi, x.dtype)
    origin = y.equal(0) & upright
    return where(origin, 0, where(x < 0, turned, half), x.dtype)


@converter(aten.round.decimals)
def round_decimals(x: Tensor, *, decimals: int) -> Tensor:
    """x to ``decimals`` digits after the point, or before it where negative."""
    if not x.dtype.is_float:
        return x
    factor = 10.0 ** abs(decimals)
    wide = x.cast(DType.FLOAT32)  # in half precision the product would overflow
    if decimals >= 0:
        return (unary(Op.ROUND, wide * factor) / factor).cast(x.dtype)
    return (unary(Op.ROUND, wide / factor) * factor).cast(x.dtype)


@converter(aten.trunc.default, aten.fix.default)
def trunc(x: Tensor) -> Tensor:
    """x rounded toward zero."""
    return truncated(x)


@converter(aten.frac.default)
def frac(x: Tensor) -> Tensor:
    """``x - trunc(x)``."""
    return x - truncated(x)


@converter(aten.logaddexp.default)
def logaddexp(x: Tensor, other: Tensor) -> Tensor:
    """``log(exp(x) + exp(other))``; equal infinities stay what they are."""
    x, other = promote(x, other, dtype=_float_of(x, other))
    difference = -absolute(x - other)
    rest = Activation(type=ActivationType.SOFTPLUS, alpha=1, beta=1)(difference)
    return where(x.equal(other), x + math.log(2), maximum(x, other) + rest)


@converter(aten.logit.default, aten.special_logit.default)
def logit(x: Tensor, eps: float | None = None) -> Tensor:
    """``log(x / (1 - x))``, with x within ``eps`` of 0 and 1."""
    x = floating(x)
    x = x if eps is None else clamp(x, eps, 1 - eps)
    return unary(Op.LOG, x / (1 - x))


@converter(aten.xlogy.Tensor, aten.xlogy.Scalar_Other, aten.xlogy.Scalar_Self)
def xlogy(x: Operand, other: Operand) -> Tensor:
    """``x * log(other)``, and 0 where x is 0 and other is a number."""
    x, other = promote(x, other, dtype=_float_of(x, other))
    return where(x.equal(0) & other.equal(other), 0, x * unary(Op.LOG, other), x.dtype)


@converter(aten.nan_to_num.default)
def nan_to_num(
    x: Tensor,
    nan: float | None = None,
    posinf: float | None = None,
    neginf: float | None = None,
) -> Tensor:
    """x with 0 for NaN and the largest finite numbers for the infinities, or what is given."""
    if not x.dtype.is_float:
        return x
    limits = torch.finfo(x.dtype.torch)
    replaced = where(Unary(op=Op.ISNAN)(x), _or(nan, 0.0), x, x.dtype)
    infinite = Unary(op=Op.ISINF)(x)
    replaced = where(infinite & (x > 0), _or(posinf, limits.max), replaced, x.dtype)
    return where(infinite & (x < 0), _or(neginf, limits.min), replaced, x.dtype)


def _or(value: float | None, default: float) -> Scalar:
    return default if value is None else value


def _float_of(*values: Any) -> DType:
    dtype = promoted(*values)
    return dtype if dtype.is_float else DType.FLOAT32
