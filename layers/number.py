"""Parts of numbers, and pairs of them: signs, mantissas, divisors, the larger beside NaN."""

from __future__ import annotations

import math

import torch

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.repeat import Repeat
from trtdsl.network import Network, Scalar, Tensor
from trtdsl.operators import align, floating, maximum, minimum, power, promote, promoted, where
from trtdsl.registry import converter
from trtdsl.types import DType, TensorType, broadcast

from .comparison import isnan
from .function import absolute
from .reduction import any_
from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.fmax.default)
def fmax(x: Tensor, other: Tensor) -> Tensor:
    """The larger of each two elements; the other one where one is NaN."""
    return maximum(*_numbers(x, other))


@converter(aten.fmin.default)
def fmin(x: Tensor, other: Tensor) -> Tensor:
    """The smaller of each two elements; the other one where one is NaN."""
    return minimum(*_numbers(x, other))


def _numbers(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Each with the other one's element for a NaN: of these, TensorRT's kernels make either."""
    dtype = promoted(x, y)
    if not dtype.is_float:
        return x, y
    x, y = x.cast(dtype), y.cast(dtype)
    return where(isnan(x), y, x, dtype), where(isnan(y), x, y, dtype)


@converter(aten.signbit.default)
def signbit(x: Tensor) -> Tensor:
    """Whether an element is negative, -0 included; false for every NaN."""
    if x.dtype is DType.BOOL:
        return x & ~x
    if not x.dtype.is_float:
        return x < 0
    # Of the two zeros, one has minus infinity as its reciprocal.
    return (x < 0) | (x.equal(0) & (Unary(op=UnaryOperation.RECIP)(x) < 0))


@converter(aten.copysign.Tensor)
def copysign(x: Tensor, other: Tensor) -> Tensor:
    """``|x|`` with the sign of ``other``, zeros and infinities included."""
    dtype = promoted(x, other)
    dtype = dtype if dtype.is_float else DType.FLOAT32
    x, other = promote(x, other, dtype=dtype)
    size = absolute(x)
    return where(signbit(other), -size, size)


@converter(aten.copysign.Scalar)
def copysign_scalar(x: Tensor, other: Scalar) -> Tensor:
    """``|x|`` with the sign of a number."""
    size = absolute(floating(x))
    return -size if math.copysign(1, other) < 0 else size


@converter(aten.ldexp.Tensor)
def ldexp(x: Tensor, other: Tensor) -> Tensor:
    """``x * 2 ** other``, in float32."""
    dtype = promoted(x, other)
    result: Tensor = x.cast(DType.FLOAT32) * power(2.0, other.cast(DType.FLOAT32))
    return result.cast(dtype if dtype.is_float else DType.FLOAT32)


@converter(aten.frexp.Tensor)
def frexp(x: Tensor) -> tuple[Tensor, Tensor]:
    """A mantissa within 0.5 and 1, and the int32 power of 2 that x is it times."""
    dtype, wide = x.dtype, x.cast(DType.FLOAT32)
    size = absolute(wide)
    finite = size < math.inf
    plain = finite & ~wide.equal(0)
    safe = where(plain, size, 1.0)
    log = Unary(op=UnaryOperation.LOG)(safe) * (1 / math.log(2))
    exponent = Unary(op=UnaryOperation.FLOOR)(log) + 1
    mantissa = _scaled(safe, exponent)
    # The logarithm may be rounded over a power of 2, either way.
    exponent = exponent + where(mantissa < 0.5, -1.0, where(mantissa < 1, 0.0, 1.0))
    mantissa = _scaled(where(plain, wide, 1.0), exponent)
    return (
        where(plain, mantissa, wide).cast(dtype),
        where(plain, exponent, 0.0).cast(DType.INT32),
    )


def _scaled(x: Tensor, exponent: Tensor) -> Tensor:
    """``x / 2 ** exponent``, in two steps that each stay within float32."""
    half = Unary(op=UnaryOperation.FLOOR)(exponent * 0.5)
    scaled: Tensor = x * power(2.0, -half) * power(2.0, half - exponent)
    return scaled


@converter(aten.gcd.default)
def gcd(x: Tensor, other: Tensor) -> Tensor:
    """The greatest common divisor of integers, by as many divisions as one of the pairs takes."""
    dtype = promoted(x, other)
    wide = DType.INT32 if dtype.itemsize == 1 else dtype
    a, b = align(*(absolute(v) for v in promote(x, other, dtype=wide)))
    shape = broadcast(a.shape, b.shape)
    a, b = expanded(a, shape), expanded(b, shape)
    net = x.network
    loop = Repeat(body=_division(net, a.type), condition=_divisible(net, b.type), carried=2)
    return loop.outputs(a, b)[0].cast(dtype)


def _division(net: Network, pair: TensorType) -> Network:
    """A step of Euclid's algorithm: ``a, b`` become ``b, a % b``, and stay where b is 0."""
    body = Network("division", symbols=net.symbols)
    a, b = (body.input(name, pair.shape, pair.dtype) for name in "ab")
    done = b.equal(0)
    body.output(where(done, a, b), "divisor")
    body.output(where(done, b, a % where(done, 1, b, pair.dtype)), "remainder")
    return body


def _divisible(net: Network, pair: TensorType) -> Network:
    """Whether a pair has a remainder yet."""
    condition = Network("divisible", symbols=net.symbols)
    _, b = (condition.input(name, pair.shape, pair.dtype) for name in "ab")
    condition.output(any_(~b.equal(0)), "left")
    return condition


@converter(aten.lcm.default)
def lcm(x: Tensor, other: Tensor) -> Tensor:
    """The least common multiple of integers; 0 where one is 0."""
    dtype = promoted(x, other)
    wide = DType.INT32 if dtype.itemsize == 1 else dtype
    x, other = promote(x, other, dtype=wide)
    divisor = maximum(gcd(x, other), 1)
    return absolute(x // divisor * other).cast(dtype)
