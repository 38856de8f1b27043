"""Functions of complex tensors that activations and statistics are made of, in their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.complex import Complex, ComplexOperand
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Operand, Tensor
from trtdsl.operators import logical_and, logical_not, logical_or, logical_xor
from trtdsl.registry import converter, find

from .comparison import isfinite as is_finite
from .complex_arithmetic import add, div, exp, log, multiply
from .function import unary

__all__: list[str] = []

aten = torch.ops.aten
Op = UnaryOperation


@converter(aten.tanh.default, complex=True)
def tanh(x: Complex) -> Complex:
    """A quotient that is finite for any real part, by the tangents of the parts."""
    t = _tanh(x.real)
    cos, sin = unary(Op.COS, x.imag), unary(Op.SIN, x.imag)
    return div(Complex(t * cos, sin), Complex(cos, t * sin))


def _tanh(x: Tensor) -> Tensor:
    found = find(aten.tanh.default)
    assert found is not None
    y: Tensor = found.function(x)
    return y


@converter(aten.tan.default, complex=True)
def tan(x: Complex) -> Complex:
    """``-1j * tanh(1j * x)``."""
    y = tanh(Complex(-x.imag, x.real))
    return Complex(y.imag, -y.real)


@converter(aten.sigmoid.default, complex=True)
def sigmoid(x: Complex) -> Complex:
    """``(1 + tanh(x / 2)) / 2``."""
    y = tanh(x.map(lambda part: part * 0.5))
    return Complex((y.real + 1) * 0.5, y.imag * 0.5)


@converter(aten.silu.default, complex=True)
def silu(x: Complex) -> Complex:
    """``x * sigmoid(x)``."""
    return multiply(x, sigmoid(x))


@converter(aten.exp2.default, complex=True)
def exp2(x: Complex) -> Complex:
    """``2 ** x``."""
    return exp(x.map(lambda part: part * math.log(2)))


@converter(aten.log2.default, complex=True)
def log2(x: Complex) -> Complex:
    """``log(x) / log(2)``."""
    return log(x).map(lambda part: part * (1 / math.log(2)))


@converter(aten.log10.default, complex=True)
def log10(x: Complex) -> Complex:
    """``log(x) / log(10)``."""
    return log(x).map(lambda part: part * (1 / math.log(10)))


@converter(aten.addcmul.default, complex=True)
def addcmul(
    x: ComplexOperand, tensor1: ComplexOperand, tensor2: ComplexOperand, *, value: Any = 1
) -> Complex:
    """``x + value * tensor1 * tensor2``."""
    scaled = tensor1 if value == 1 else _scaled(tensor1, value)
    return add(x, _multiplied(scaled, tensor2))


@converter(aten.addcdiv.default, complex=True)
def addcdiv(
    x: ComplexOperand, tensor1: ComplexOperand, tensor2: ComplexOperand, *, value: Any = 1
) -> Complex:
    """``x + value * tensor1 / tensor2``."""
    scaled = tensor1 if value == 1 else _scaled(tensor1, value)
    return add(x, _divided(scaled, tensor2))


@converter(aten.lerp.Scalar, aten.lerp.Tensor, complex=True)
def lerp(x: Complex, end: Complex, weight: ComplexOperand) -> Complex:
    """``x + weight * (end - x)``."""
    return add(x, multiply(add(end, x, -1), weight))


def _scaled(x: Any, value: Any) -> Any:
    return multiply(x, value) if isinstance(x, Complex) or isinstance(value, complex) else x * value


def _multiplied(x: Any, y: Any) -> Any:
    return multiply(x, y) if isinstance(x, Complex) or isinstance(y, Complex) else x * y


def _divided(x: Any, y: Any) -> Any:
    return div(x, y) if isinstance(x, Complex) or isinstance(y, Complex) else x / y


@converter(aten.scatter.reduce, complex=True)
def scatter_reduce(x: Complex, dim: int, index: Tensor, src: Complex, *, reduce: str) -> Complex:
    """x with the sources of each place added to it. Errors: ConversionError to multiply them."""
    if reduce != "add":
        raise ConversionError(
            explain(
                f"scatter of complex numbers with reduce={reduce!r}",
                fix="add their logarithms, and take torch.exp of the sums",
            )
        )
    found = find(aten.scatter_add.default, complex=True)
    assert found is not None
    y: Complex = found.function(x.network, x, dim, index, src)
    return y


@converter(aten.isinf.default, complex=True)
def isinf(x: Complex) -> Tensor:
    """Whether a part is infinite."""
    return logical_or(Unary(op=Op.ISINF)(x.real), Unary(op=Op.ISINF)(x.imag))


@converter(aten.isfinite.default, complex=True)
def isfinite(x: Complex) -> Tensor:
    """Whether neither part is infinite or NaN."""
    return is_finite(x.real) & is_finite(x.imag)


@converter(aten.logical_not.default, complex=True)
def logical_not_(x: Complex) -> Tensor:
    """Whether both parts are 0."""
    return logical_not(_truth(x))


@converter(aten.logical_and.default, complex=True)
def logical_and_(x: ComplexOperand, other: ComplexOperand) -> Tensor:
    """Whether neither is 0."""
    return logical_and(_truth(x), _truth(other))


@converter(aten.logical_or.default, complex=True)
def logical_or_(x: ComplexOperand, other: ComplexOperand) -> Tensor:
    """Whether one of them is not 0."""
    return logical_or(_truth(x), _truth(other))


@converter(aten.logical_xor.default, complex=True)
def logical_xor_(x: ComplexOperand, other: ComplexOperand) -> Tensor:
    """Whether just one of them is 0."""
    return logical_xor(_truth(x), _truth(other))


def _truth(x: Any) -> Operand:
    if not isinstance(x, Complex):
        return x
    return logical_not(logical_and(x.real.equal(0), x.imag.equal(0)))


@converter(aten.any.default, complex=True)
def any_(x: Complex) -> Tensor:
    """Whether an element is not 0."""
    return _asked(aten.any.default, x)


@converter(aten.any.dims, complex=True)
def any_dims(x: Complex, dim: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Whether an element along axes is not 0."""
    return _asked(aten.any.dims, x, dim, keepdim)


@converter(aten.any.dim, complex=True)
def any_dim(x: Complex, dim: int, keepdim: bool = False) -> Tensor:
    """Whether an element along an axis is not 0."""
    return _asked(aten.any.dim, x, dim, keepdim)


@converter(aten.all.default, complex=True)
def all_(x: Complex) -> Tensor:
    """Whether no element is 0."""
    return _asked(aten.all.default, x)


@converter(aten.all.dims, complex=True)
def all_dims(x: Complex, dim: Sequence[int] | None = None, keepdim: bool = False) -> Tensor:
    """Whether no element along axes is 0."""
    return _asked(aten.all.dims, x, dim, keepdim)


@converter(aten.all.dim, complex=True)
def all_dim(x: Complex, dim: int, keepdim: bool = False) -> Tensor:
    """Whether no element along an axis is 0."""
    return _asked(aten.all.dim, x, dim, keepdim)


@converter(aten.count_nonzero.default, complex=True)
def count_nonzero(x: Complex, dim: int | None = None) -> Tensor:
    """How many elements are not 0."""
    return _asked(aten.count_nonzero.default, x, dim)


@converter(aten.count_nonzero.dim_IntList, complex=True)
def count_nonzero_dims(x: Complex, dim: Sequence[int]) -> Tensor:
    """How many elements along axes are not 0."""
    return _asked(aten.count_nonzero.dim_IntList, x, dim)


def _asked(operator: Any, x: Complex, *args: Any) -> Tensor:
    found = find(operator)
    assert found is not None
    y: Tensor = found.function(_truth(x), *args)
    return y


@converter(aten.var.correction, complex=True)
def var(
    x: Complex,
    dim: Sequence[int] | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> Tensor:
    """The sum of the variances of the parts."""
    found = find(aten.var.correction)
    assert found is not None
    parts = (
        found.function(part, dim, correction=correction, keepdim=keepdim)
        for part in (x.real, x.imag)
    )
    real, imag = parts
    y: Tensor = real + imag
    return y


@converter(aten.std.correction, complex=True)
def std(
    x: Complex,
    dim: Sequence[int] | None = None,
    *,
    correction: Any = None,
    keepdim: bool = False,
) -> Tensor:
    """The root of ``var``."""
    return unary(Op.SQRT, var(x, dim, correction=correction, keepdim=keepdim))


@converter(aten.var.default, complex=True)
def var_of_all(x: Complex, unbiased: bool = True) -> Tensor:
    """``var`` of all elements."""
    return var(x, correction=int(unbiased))


@converter(aten.std.default, complex=True)
def std_of_all(x: Complex, unbiased: bool = True) -> Tensor:
    """``std`` of all elements."""
    return std(x, correction=int(unbiased))


@converter(aten.var.dim, complex=True)
def var_dim(
    x: Complex, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False
) -> Tensor:
    """``var`` with a correction of 1, or of 0."""
    return var(x, dim, correction=int(unbiased), keepdim=keepdim)


@converter(aten.std.dim, complex=True)
def std_dim(
    x: Complex, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False
) -> Tensor:
    """``std`` with a correction of 1, or of 0."""
    return std(x, dim, correction=int(unbiased), keepdim=keepdim)
