"""Sums of chosen rows as one matrix product, which infinities and NaN do not leak from."""

from __future__ import annotations

import math

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import matmul, where
from trtdsl.types import DType

from .comparison import isnan

__all__ = ["chosen_sums"]


def chosen_sums(chosen: Tensor, rows: Tensor) -> Tensor:
    """``y[p]`` is the sum of the rows u for which ``chosen[p, u]``.

    Inputs: chosen bool ``(P, U)``; rows float32 ``(U, R)``. Output: float32 ``(P, R)``. A product
    with 0 is NaN where a row is infinite or NaN, chosen or not; so the product is one of finite
    numbers, and beside it are counted, for each sum, what is not finite and the infinities' signs.
    """
    infinite, invalid = Unary(op=UnaryOperation.ISINF)(rows), isnan(rows)
    finite = where(infinite | invalid, 0, rows, DType.FLOAT32)
    number = (infinite | invalid).cast(DType.FLOAT32)
    sign = where(infinite, where(rows < 0, -1, 1, DType.FLOAT32), 0, DType.FLOAT32)
    width = rows.shape[1]
    together = Concatenation(axis=1)(finite, number, sign)
    sums = matmul(chosen.cast(DType.FLOAT32), together)
    total, number, sign = (section(sums, 1, width * i, width) for i in range(3))
    # All of one sign, or else NaN: an infinity and its opposite, or NaN among them.
    one_sign = where(number.equal(sign), math.inf, math.nan, DType.FLOAT32)
    troubled = where(number.equal(-sign), -math.inf, one_sign, DType.FLOAT32)
    return where(number > 0, troubled, total, DType.FLOAT32)
