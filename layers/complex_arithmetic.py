"""Arithmetic, products and functions of complex tensors, written in their parts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import torch

from trtdsl.complex import Complex, ComplexOperand, part_dtype
from trtdsl.ir.elementwise import UnaryOperation
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, logical_and, logical_not, maximum, network_of, where
from trtdsl.registry import converter
from trtdsl.types import DType, broadcast

from .complex import magnitude
from .function import absolute, atan2, unary
from .shape import expanded

__all__ = ["add", "bilinear", "multiply"]

aten = torch.ops.aten
Op = UnaryOperation


def _dtype(*values: ComplexOperand) -> DType:
    """The dtype of the parts that PyTorch computes in. Source: torch.result_type."""

    def sample(value: Any) -> Any:
        if isinstance(value, Tensor | Complex):
            dtype = value.torch_dtype if isinstance(value, Complex) else value.dtype.torch
            return torch.empty((1,) * min(value.rank, 1), dtype=dtype)
        return value if isinstance(value, bool | int | float | complex) else 1

    dtype = torch.result_type(*map(sample, values))
    return part_dtype(dtype)


def _split(value: ComplexOperand, like: Any, dtype: DType) -> tuple[Tensor, Tensor | None]:
    """The parts in one dtype; None where there is no imaginary one."""
    if isinstance(value, Complex):
        return value.real.cast(dtype), value.imag.cast(dtype)
    if isinstance(value, complex):
        return as_tensor(value.real, like, dtype), as_tensor(value.imag, like, dtype)
    return as_tensor(value, like, dtype), None


def _pairs(
    x: ComplexOperand, y: ComplexOperand
) -> tuple[tuple[Tensor, Tensor | None], tuple[Tensor, Tensor | None]]:
    like, dtype = network_of(x, y), _dtype(x, y)
    return _split(x, like, dtype), _split(y, like, dtype)


def _joined(real: Tensor, imag: Tensor) -> Complex:
    """Parts of which one may still be smaller than the other."""
    rank = max(real.rank, imag.rank)
    shapes = [(1,) * (rank - p.rank) + p.shape for p in (real, imag)]
    shape = broadcast(*shapes)
    return Complex(expanded(real, shape), expanded(imag, shape))


def add(x: ComplexOperand, y: ComplexOperand, sign: int = 1) -> Complex:
    """``x + y``, or ``x - y`` where the sign is -1."""
    (a, b), (c, d) = _pairs(x, y)
    if b is None or d is None:
        imag = b if d is None else d * sign
        assert imag is not None
    else:
        imag = b + d if sign == 1 else b - d
    return _joined(a + c if sign == 1 else a - c, imag)


def multiply(x: ComplexOperand, y: ComplexOperand) -> Complex:
    """``x * y``."""
    return bilinear(lambda a, b: a * b, x, y)


def bilinear(
    product: Callable[[Tensor, Tensor], Tensor], x: ComplexOperand, y: ComplexOperand
) -> Complex:
    """A product that is linear in either of its operands, of which one is complex or both are."""
    (a, b), (c, d) = _pairs(x, y)
    if b is None:
        assert d is not None
        return Complex(product(a, c), product(a, d))
    if d is None:
        return Complex(product(a, c), product(b, c))
    return Complex(product(a, c) - product(b, d), product(a, d) + product(b, c))


@converter(aten.add.Tensor, complex=True)
def add_tensor(x: ComplexOperand, other: ComplexOperand, *, alpha: Any = 1) -> Complex:
    """``x + alpha * other``."""
    return add(x, other if alpha == 1 else _scaled(other, alpha))


@converter(aten.add.Scalar, complex=True)
def add_scalar(x: ComplexOperand, other: ComplexOperand, alpha: Any = 1) -> Complex:
    """``x + alpha * other``."""
    return add(x, other if alpha == 1 else _scaled(other, alpha))


@converter(aten.sub.Tensor, complex=True)
def sub_tensor(x: ComplexOperand, other: ComplexOperand, *, alpha: Any = 1) -> Complex:
    """``x - alpha * other``."""
    return add(x, other if alpha == 1 else _scaled(other, alpha), -1)


@converter(aten.sub.Scalar, complex=True)
def sub_scalar(x: ComplexOperand, other: ComplexOperand, alpha: Any = 1) -> Complex:
    """``x - alpha * other``."""
    return add(x, other if alpha == 1 else _scaled(other, alpha), -1)


@converter(aten.rsub.Tensor, complex=True)
def rsub_tensor(x: ComplexOperand, other: ComplexOperand, *, alpha: Any = 1) -> Complex:
    """``other - alpha * x``."""
    return add(other, x if alpha == 1 else _scaled(x, alpha), -1)


@converter(aten.rsub.Scalar, complex=True)
def rsub_scalar(x: ComplexOperand, other: ComplexOperand, alpha: Any = 1) -> Complex:
    """``other - alpha * x``."""
    return add(other, x if alpha == 1 else _scaled(x, alpha), -1)


def _scaled(x: ComplexOperand, alpha: Any) -> ComplexOperand:
    if isinstance(x, Complex) or isinstance(alpha, complex):
        return multiply(x, alpha) if isinstance(x, Tensor | Complex) else x * alpha
    return x * alpha


@converter(aten.mul.Tensor, aten.mul.Scalar, complex=True)
def mul(x: ComplexOperand, other: ComplexOperand) -> Complex:
    """``x * other``."""
    return multiply(x, other)


@converter(aten.div.Tensor, aten.div.Scalar, aten.true_divide.Tensor, complex=True)
def div(x: ComplexOperand, other: ComplexOperand) -> Complex:
    """``x / other``; no square leaves the range of its dtype."""
    (a, b), (c, d) = _pairs(x, other)
    if d is None:
        assert b is not None
        return Complex(a / c, b / c)
    size = maximum(absolute(c), absolute(d))
    c, d = c / size, d / size
    square = (c * c + d * d) * size
    y = multiply(a if b is None else Complex(a, b), Complex(c, -d))
    return y.map(lambda part: part / square)


@converter(aten.reciprocal.default, complex=True)
def reciprocal(x: Complex) -> Complex:
    """``1 / x``."""
    return div(1.0, x)


@converter(aten.square.default, complex=True)
def square(x: Complex) -> Complex:
    """``x * x``."""
    return multiply(x, x)


@converter(aten.exp.default, complex=True)
def exp(x: Complex) -> Complex:
    """``exp(re) * (cos(im) + 1j * sin(im))``."""
    size = unary(Op.EXP, x.real)
    return Complex(size * unary(Op.COS, x.imag), size * unary(Op.SIN, x.imag))


@converter(aten.log.default, complex=True)
def log(x: Complex) -> Complex:
    """``log(|x|) + 1j * angle(x)``."""
    return Complex(unary(Op.LOG, magnitude(x)), atan2(x.imag, x.real))


@converter(aten.sqrt.default, complex=True)
def sqrt(x: Complex) -> Complex:
    """The root whose real part is not negative."""
    half = unary(Op.SQRT, (magnitude(x) + absolute(x.real)) * 0.5)
    other = absolute(x.imag) / (half * 2)
    other = where(half.equal(0), 0, other, x.dtype)
    right = logical_not(x.real < 0)
    real, size = where(right, half, other), where(right, other, half)
    return Complex(real, where(x.imag < 0, -size, size))


@converter(aten.rsqrt.default, complex=True)
def rsqrt(x: Complex) -> Complex:
    """``1 / sqrt(x)``."""
    return div(1.0, sqrt(x))


def _of_sum(op: tuple[Op, Op], other: tuple[Op, Op], sign: int) -> Callable[[Complex], Complex]:
    """``op0(re) * op1(im) + sign * 1j * other0(re) * other1(im)``."""

    def convert(x: Complex) -> Complex:
        real = unary(op[0], x.real) * unary(op[1], x.imag)
        return Complex(real, unary(other[0], x.real) * unary(other[1], x.imag) * sign)

    return convert


converter(aten.sin.default, complex=True)(_of_sum((Op.SIN, Op.COSH), (Op.COS, Op.SINH), 1))
converter(aten.cos.default, complex=True)(_of_sum((Op.COS, Op.COSH), (Op.SIN, Op.SINH), -1))
converter(aten.sinh.default, complex=True)(_of_sum((Op.SINH, Op.COS), (Op.COSH, Op.SIN), 1))
converter(aten.cosh.default, complex=True)(_of_sum((Op.COSH, Op.COS), (Op.SINH, Op.SIN), 1))


@converter(aten.pow.Tensor_Scalar, complex=True)
def pow_scalar(x: Tensor | Complex, exponent: Any) -> Complex:
    """``x ** exponent``; whole ones by multiplication."""
    if not isinstance(x, Complex) or exponent != (
        int(exponent.real) if abs(exponent) < _LARGEST else None
    ):
        return _power(x, exponent)
    count = int(exponent.real)
    if count == 0:
        return Complex(x.real * 0 + 1, x.imag * 0)
    y = reduce(lambda total, bit: _next(total, bit, x), bin(abs(count))[3:], x)
    return y if count > 0 else reciprocal(y)


_LARGEST = 64
"""Whole exponents from here on go by way of the logarithm."""


def _next(total: Complex, bit: str, x: Complex) -> Complex:
    doubled = multiply(total, total)
    return multiply(doubled, x) if bit == "1" else doubled


@converter(aten.pow.Tensor_Tensor, complex=True)
def pow_tensor(x: Tensor | Complex, exponent: Tensor | Complex) -> Complex:
    """``x ** exponent``."""
    return _power(x, exponent)


@converter(aten.pow.Scalar, complex=True)
def pow_of_scalar(x: Any, exponent: Tensor | Complex) -> Complex:
    """``x ** exponent``."""
    return _power(x, exponent)


def _power(x: ComplexOperand, exponent: ComplexOperand) -> Complex:
    """``exp(exponent * log(x))``; where x is 0, 0 or, as PyTorch has it, infinite or NaN."""
    like, dtype = network_of(x, exponent), _dtype(x, exponent)
    (a, b), (c, d) = _split(x, like, dtype), _split(exponent, like, dtype)
    base = Complex(a, a * 0 if b is None else b)
    y = exp(multiply(log(base), exponent if d is None else Complex(c, d)))
    zero = logical_and(base.real.equal(0), base.imag.equal(0))
    endless = where(c < 0, math.inf, math.nan, dtype)
    real = where(zero, where(c > 0, 0, endless, dtype), y.real, dtype)
    return _joined(real, where(zero, where(c > 0, 0, math.nan, dtype), y.imag, dtype))


@converter(aten.eq.Tensor, aten.eq.Scalar, complex=True)
def eq(x: ComplexOperand, other: ComplexOperand) -> Tensor:
    """Whether both parts are equal."""
    (a, b), (c, d) = _pairs(x, other)
    return logical_and(a.equal(c), _or_zero(b).equal(_or_zero(d)))


@converter(aten.ne.Tensor, aten.ne.Scalar, complex=True)
def ne(x: ComplexOperand, other: ComplexOperand) -> Tensor:
    """Whether a part differs."""
    return logical_not(eq(x, other))


def _or_zero(x: Tensor | None) -> Any:
    return 0.0 if x is None else x
