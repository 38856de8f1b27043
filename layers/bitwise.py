"""Bits of integers, by arithmetic: TensorRT combines the bits of bool only.

Integers are two's complement, so ``x // 2 ** n`` shifts right and ``x % 2 ** n`` keeps the lowest
n bits, of negative numbers too. Constants stay below ``2 ** 30``, which int32 holds as well: that
is what an int64 becomes on TensorRT 8.6.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Operand, Tensor
from trtdsl.operators import as_tensor, maximum, minimum, network_of, promote, promoted, where
from trtdsl.registry import converter
from trtdsl.types import DType

__all__: list[str] = []

aten = torch.ops.aten

_LIMB = 30
"""So many bits are worked on at once."""


@converter(
    aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.bitwise_and.Scalar_Tensor,
    aten.__and__.Tensor, aten.__and__.Scalar,
)  # fmt: skip
def bitwise_and(x: Operand, other: Operand) -> Tensor:
    """``x & other`` of bool or integers."""
    return _bitwise(x, other, "and")


@converter(
    aten.bitwise_or.Tensor, aten.bitwise_or.Scalar, aten.bitwise_or.Scalar_Tensor,
    aten.__or__.Tensor, aten.__or__.Scalar,
)  # fmt: skip
def bitwise_or(x: Operand, other: Operand) -> Tensor:
    """``x | other`` of bool or integers: ``x + other - (x & other)``."""
    return _bitwise(x, other, "or")


@converter(
    aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar, aten.bitwise_xor.Scalar_Tensor,
    aten.__xor__.Tensor, aten.__xor__.Scalar,
)  # fmt: skip
def bitwise_xor(x: Operand, other: Operand) -> Tensor:
    """``x ^ other`` of bool or integers: ``x + other - 2 * (x & other)``."""
    return _bitwise(x, other, "xor")


@converter(aten.bitwise_not.default)
def bitwise_not(x: Tensor) -> Tensor:
    """Each bit turned over: ``-1 - x`` of integers, ``255 - x`` of uint8."""
    if x.dtype is DType.BOOL:
        return ~x
    turned: Tensor = (255 if x.dtype is DType.UINT8 else -1) - _wide(x)
    return turned.cast(x.dtype)


def _bitwise(x: Operand, y: Operand, operation: str) -> Tensor:
    dtype = promoted(x, y)
    network = network_of(x, y)
    if dtype is DType.BOOL:
        a, b = (as_tensor(v, network, dtype) for v in (x, y))
        return {"and": a & b, "or": a | b, "xor": a ^ b}[operation]
    if isinstance(x, int):
        x, y = y, x
    wide = _wide_type(dtype)
    left = as_tensor(x, network, dtype).cast(wide)
    right: Operand
    if isinstance(y, int):
        right = y & 255 if dtype is DType.UINT8 else int(y)
        both = _masked(left, right)
    else:
        right = as_tensor(y, network, dtype).cast(wide)
        both = _common(left, right, dtype)
    if operation == "and":
        return both.cast(dtype)
    total: Tensor = left + right - (both if operation == "or" else both * 2)
    return total.cast(dtype)


def _wide_type(dtype: DType) -> DType:
    return DType.INT32 if dtype.itemsize == 1 else dtype


def _wide(x: Tensor) -> Tensor:
    """x in a dtype that TensorRT computes in."""
    return x.cast(_wide_type(x.dtype))


def _masked(x: Tensor, mask: int) -> Tensor:
    """``x & mask``: a shift, a remainder and a shift back for each run of ones."""
    if mask < 0:
        return x - _masked(x, ~mask)
    total = x * 0
    for first, last in _runs(mask):
        part = _right(x, first) % 2 ** (last - first)
        total = total + _left(part, first)
    return total


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The runs of ones in a mask, from the lowest bit, none longer than a limb."""
    bit = 0
    while mask >> bit:
        if not mask >> bit & 1:
            bit += 1
            continue
        first = bit
        while mask >> bit & 1 and bit - first < _LIMB:
            bit += 1
        yield first, bit


def _right(x: Tensor, count: int) -> Tensor:
    while count > 0:
        x = x // 2 ** min(count, _LIMB)
        count -= _LIMB
    return x


def _left(x: Tensor, count: int) -> Tensor:
    while count > 0:
        x = x * 2 ** min(count, _LIMB)
        count -= _LIMB
    return x


def _common(x: Tensor, y: Tensor, dtype: DType) -> Tensor:
    """``x & y``: both taken apart into bits along a new last axis, multiplied and summed up."""
    bits = dtype.itemsize * 8
    parts: list[Tensor] = []
    for _ in range(0, max(bits - _LIMB, 0), _LIMB):
        parts.append(_product_of_bits(x % 2**_LIMB, y % 2**_LIMB, _LIMB))
        x, y = x // 2**_LIMB, y // 2**_LIMB
    rest = bits - _LIMB * len(parts)
    low = 2 ** (rest - 1)
    # The quotients are the highest bits: the signs, 0 or -1, and of uint8 0 or 1.
    highest = (x // low) * (y // low) * (low if dtype is DType.UINT8 else -low)
    total: Tensor = _product_of_bits(x % low, y % low, rest - 1) + highest
    for part in reversed(parts):
        total = part + total * 2**_LIMB
    return total


def _product_of_bits(x: Tensor, y: Tensor, bits: int) -> Tensor:
    powers = x.network.constant([2**k for k in range(bits)], x.dtype)
    digits = [Unsqueeze(axes=(v.rank,))(v) // powers % 2 for v in (x, y)]
    common: Tensor = digits[0] * digits[1] * powers
    return Reduce(op=ReduceOperation.SUM, axes=(common.rank - 1,))(common)


@converter(
    aten.bitwise_left_shift.Tensor, aten.bitwise_left_shift.Tensor_Scalar,
    aten.bitwise_left_shift.Scalar_Tensor, aten.__lshift__.Tensor, aten.__lshift__.Scalar,
)  # fmt: skip
def bitwise_left_shift(x: Operand, other: Operand) -> Tensor:
    """``x * 2 ** other``, without the bits that do not fit; 0 beyond them, or by less than 0."""
    dtype = promoted(x, other)
    bits = dtype.itemsize * 8
    x, by, outside = _shift(x, other, dtype)
    shifted = _left(x, by) if isinstance(by, int) else _times_power(x, by, bits)
    if outside is not None:
        shifted = where(outside, 0, shifted, shifted.dtype)
    if dtype is DType.UINT8:
        shifted = shifted % 256
    elif dtype is DType.INT8:
        shifted = (shifted + 128) % 256 - 128
    return shifted.cast(dtype)


@converter(
    aten.bitwise_right_shift.Tensor, aten.bitwise_right_shift.Tensor_Scalar,
    aten.bitwise_right_shift.Scalar_Tensor, aten.__rshift__.Tensor, aten.__rshift__.Scalar,
)  # fmt: skip
def bitwise_right_shift(x: Operand, other: Operand) -> Tensor:
    """``floor(x / 2 ** other)``; 0 or -1, the sign, for all bits and more, or by less than 0."""
    dtype = promoted(x, other)
    bits = dtype.itemsize * 8
    x, by, outside = _shift(x, other, dtype)
    shifted = _right(x, by) if isinstance(by, int) else _over_power(x, by, bits)
    if outside is not None:
        shifted = where(outside, where(x < 0, -1, 0, x.dtype), shifted)
    return shifted.cast(dtype)


def _shift(x: Operand, other: Operand, dtype: DType) -> tuple[Tensor, Tensor | int, Tensor | None]:
    """x and the number of bits within those of the dtype, and where it was not."""
    network, bits = network_of(x, other), dtype.itemsize * 8
    wide = as_tensor(x, network, dtype).cast(_wide_type(dtype))
    if isinstance(other, int):
        if 0 <= other < bits:
            return wide, int(other), None
        return wide, bits - 1, as_tensor(True, network)
    by = as_tensor(other, network, dtype).cast(wide.dtype)
    wide, by = promote(wide, by)
    outside = (by < 0) | (by >= bits)
    return wide, minimum(maximum(by, 0), bits - 1), outside


def _steps(by: Tensor, bits: int) -> Iterator[Tensor]:
    """Powers of two whose product is ``2 ** by``, none beyond int32."""
    table = by.network.constant([2**k for k in range(_LIMB + 1)], by.dtype)
    for _ in range(0, bits, _LIMB):
        step = minimum(by, _LIMB)
        yield Gather(axis=0)(table, step)
        by = by - step


def _times_power(x: Tensor, by: Tensor, bits: int) -> Tensor:
    for power in _steps(by, bits):
        x = x * power
    return x


def _over_power(x: Tensor, by: Tensor, bits: int) -> Tensor:
    for power in _steps(by, bits):
        x = x // power
    return x
