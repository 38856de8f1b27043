"""Comparisons, logic, and the choice between elements."""

from __future__ import annotations

import torch

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Operand, Scalar, Tensor
from trtdsl.operators import cast, logical_and, logical_or, logical_xor, promoted, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .function import absolute

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.eq.Tensor, aten.eq.Scalar)
def eq(x: Tensor, other: Operand) -> Tensor:
    """``x == other``."""
    return x.equal(other)


@converter(aten.ne.Tensor, aten.ne.Scalar)
def ne(x: Tensor, other: Operand) -> Tensor:
    """``x != other``."""
    return ~x.equal(other)


@converter(aten.lt.Tensor, aten.lt.Scalar)
def lt(x: Tensor, other: Operand) -> Tensor:
    """``x < other``."""
    return x < other


@converter(aten.le.Tensor, aten.le.Scalar)
def le(x: Tensor, other: Operand) -> Tensor:
    """``x <= other``."""
    return x <= other


@converter(aten.gt.Tensor, aten.gt.Scalar)
def gt(x: Tensor, other: Operand) -> Tensor:
    """``x > other``."""
    return x > other


@converter(aten.ge.Tensor, aten.ge.Scalar)
def ge(x: Tensor, other: Operand) -> Tensor:
    """``x >= other``."""
    return x >= other


@converter(aten.isclose.default)
def isclose(
    x: Tensor, other: Tensor, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False
) -> Tensor:
    """``|x - other| <= atol + rtol * |other|``, or equal."""
    if promoted(x, other).itemsize == 1:  # no one-byte integer, nor bool, is subtracted
        x, other = x.cast(DType.INT32), other.cast(DType.INT32)
    far = absolute(other) * rtol + atol
    # An infinity is close to itself alone, whatever is multiplied with it.
    near = (absolute(x - other) <= far) & isfinite(far)
    close = near | x.equal(other)
    if equal_nan:
        close = close | (~x.equal(x) & ~other.equal(other))
    return close


@converter(aten.isnan.default)
def isnan(x: Tensor) -> Tensor:
    """Whether an element is NaN."""
    return Unary(op=UnaryOperation.ISNAN)(x) if x.dtype.is_float else ~x.equal(x)


@converter(aten.isinf.default)
def isinf(x: Tensor) -> Tensor:
    """Whether an element is plus or minus infinity."""
    return Unary(op=UnaryOperation.ISINF)(x) if x.dtype.is_float else ~x.equal(x)


@converter(aten.isfinite.default)
def isfinite(x: Tensor) -> Tensor:
    """Whether an element is neither infinite nor NaN."""
    if not x.dtype.is_float:
        return x.equal(x)
    return ~(Unary(op=UnaryOperation.ISINF)(x) | Unary(op=UnaryOperation.ISNAN)(x))


@converter(aten.logical_and.default)
def logical_and_(x: Tensor, other: Tensor) -> Tensor:
    """Whether both elements are other than 0."""
    return logical_and(x, other)


@converter(aten.logical_or.default)
def logical_or_(x: Tensor, other: Tensor) -> Tensor:
    """Whether an element of the two is other than 0."""
    return logical_or(x, other)


@converter(aten.logical_xor.default)
def logical_xor_(x: Tensor, other: Tensor) -> Tensor:
    """Whether one element of the two is 0 and one is not."""
    return logical_xor(x, other)


@converter(aten.logical_not.default)
def logical_not(x: Tensor) -> Tensor:
    """Whether an element is 0."""
    return ~x


@converter(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar)
def where_(condition: Tensor, x: Operand, other: Operand) -> Tensor:
    """x where the condition holds, and other elsewhere."""
    return where(condition, x, other)


@converter(aten.masked_fill.Scalar)
def masked_fill_scalar(x: Tensor, mask: Tensor, value: Scalar) -> Tensor:
    """``value`` where the mask holds, and x elsewhere, in x's dtype."""
    return where(mask, value, x, x.dtype)


@converter(aten.masked_fill.Tensor)
def masked_fill_tensor(x: Tensor, mask: Tensor, value: Tensor) -> Tensor:
    """``value`` where the mask holds, and x elsewhere, in x's dtype."""
    return where(mask, cast(value, x.dtype), x)
