"""Determinants, inverses, linear equations and Cholesky's triangle, of small matrices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch

from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Tensor
from trtdsl.operators import matmul, where
from trtdsl.registry import converter
from trtdsl.types import DType, broadcast

from .absent import Absent
from .creation import filled
from .elimination import eliminate, require_small, triangle
from .function import absolute
from .shape import expanded, mT

__all__: list[str] = []

aten = torch.ops.aten
_FACTORS = Absent("the factors of an elimination", "compute them outside of the model")


@converter(aten.linalg_det.default)
def linalg_det(A: Tensor) -> Tensor:  # noqa: N803
    """``(*S, n, n)`` to ``(*S)``."""
    pivots, sign = _pivots(A)
    return _scalar(A, reduce(lambda x, y: x * y, pivots) * sign)


@converter(aten.det.default)
def det(x: Tensor) -> Tensor:
    """``(*S, n, n)`` to ``(*S)``."""
    return linalg_det(x)


@converter(aten._linalg_det.default)
def _linalg_det(A: Tensor) -> tuple[Any, ...]:  # noqa: N803
    """``linalg_det``, and factors that nothing may read."""
    return linalg_det(A), _FACTORS, _FACTORS


@converter(aten.linalg_slogdet.default)
def linalg_slogdet(A: Tensor) -> tuple[Tensor, Tensor]:  # noqa: N803
    """The sign of the determinant, and the logarithm of its magnitude."""
    pivots, sign = _pivots(A)
    signs = [Unary(op=UnaryOperation.SIGN)(p) for p in pivots]
    logarithms = [Unary(op=UnaryOperation.LOG)(absolute(p)) for p in pivots]
    total = reduce(lambda x, y: x + y, logarithms)
    return _scalar(A, reduce(lambda x, y: x * y, signs) * sign), _scalar(A, total)


@converter(aten.slogdet.default)
def slogdet(x: Tensor) -> tuple[Tensor, Tensor]:
    """The sign of the determinant, and the logarithm of its magnitude."""
    return linalg_slogdet(x)


@converter(aten._linalg_slogdet.default)
def _linalg_slogdet(A: Tensor) -> tuple[Any, ...]:  # noqa: N803
    """``linalg_slogdet``, and factors that nothing may read."""
    return (*linalg_slogdet(A), _FACTORS, _FACTORS)


@converter(aten.logdet.default)
def logdet(x: Tensor) -> Tensor:
    """The logarithm of the determinant, NaN of a negative one."""
    sign, size = linalg_slogdet(x)
    return where(sign < 0, float("nan"), size, x.dtype)


@converter(aten.linalg_inv.default)
def linalg_inv(A: Tensor) -> Tensor:  # noqa: N803
    """``A ** -1``; infinite or NaN where A has none."""
    return linalg_inv_ex(A)[0]


@converter(aten.inverse.default)
def inverse(x: Tensor) -> Tensor:
    """``x ** -1``."""
    return linalg_inv_ex(x)[0]


@converter(aten.linalg_inv_ex.default)
def linalg_inv_ex(A: Tensor, *, check_errors: bool = False) -> tuple[Tensor, Tensor]:  # noqa: N803
    """``A ** -1``, and the number of the first pivot that is 0, or 0."""
    size = require_small(A, "the inverse")
    unit = expanded(A.network.constant(torch.eye(size)).cast(A.dtype), A.shape)
    found = eliminate(A, unit)
    return found.solution, _scalar(A, _first(A, found.pivots, lambda p: p.equal(0)))


@converter(aten.linalg_solve.default)
def linalg_solve(A: Tensor, B: Tensor, *, left: bool = True) -> Tensor:  # noqa: N803
    """X with ``A @ X = B``, or ``X @ A = B``: of matrices, or of vectors ``(*S, n)``."""
    return linalg_solve_ex(A, B, left=left)[0]


@converter(aten.linalg_solve_ex.default)
def linalg_solve_ex(
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    *,
    left: bool = True,
    check_errors: bool = False,
) -> tuple[Tensor, Tensor]:
    """``linalg_solve``, and the number of the first pivot that is 0, or 0."""
    require_small(A, "linear equations")
    vector = B.rank == 1 or (B.rank == A.rank - 1 and B.shape == A.shape[:-1])
    b = B.reshape(*B.shape, 1) if vector else B
    a, b = (A, b) if left else (mT(A), mT(b))
    lead = _broadcast(a.shape[:-2], b.shape[:-2])
    found = eliminate(*(expanded(m, (*lead, *m.shape[-2:])) for m in (a, b)))
    x = found.solution if left else mT(found.solution)
    info = _first(found.solution, found.pivots, lambda p: p.equal(0)).reshape(*lead)
    return (x.reshape(*x.shape[:-1]) if vector else x), info


@converter(aten._linalg_solve_ex.default)
def _linalg_solve_ex(
    A: Tensor,  # noqa: N803
    B: Tensor,  # noqa: N803
    *,
    left: bool = True,
    check_errors: bool = False,
) -> tuple[Any, ...]:
    """``linalg_solve_ex``, and factors that nothing may read."""
    x, info = linalg_solve_ex(A, B, left=left)
    return x, _FACTORS, _FACTORS, info


@converter(aten.linalg_cholesky.default)
def linalg_cholesky(x: Tensor, *, upper: bool = False) -> Tensor:
    """The lower triangle L with ``L @ L.T = x``, or its transpose."""
    return linalg_cholesky_ex(x, upper=upper)[0]


@converter(aten.cholesky.default)
def cholesky(x: Tensor, upper: bool = False) -> Tensor:
    """The lower triangle L with ``L @ L.T = x``, or its transpose."""
    return linalg_cholesky_ex(x, upper=upper)[0]


@converter(aten.linalg_cholesky_ex.default)
def linalg_cholesky_ex(
    x: Tensor, *, upper: bool = False, check_errors: bool = False
) -> tuple[Tensor, Tensor]:
    """``linalg_cholesky``, and the number of the first pivot that is not positive, or 0."""
    require_small(x, "Cholesky's triangle")
    whole, squares = triangle(mT(x) if upper else x)
    info = _first(x, squares, lambda p: ~(p > 0))
    return mT(whole) if upper else whole, _scalar(x, info)


@converter(aten.linalg_matrix_power.default)
def linalg_matrix_power(x: Tensor, n: int) -> Tensor:
    """``x @ x @ ..``, n times; of the inverse where n is negative."""
    if n == 0:
        return expanded(x.network.constant(torch.eye(x.shape[-1])).cast(x.dtype), x.shape)
    base = linalg_inv(x) if n < 0 else x
    return reduce(lambda y, bit: _next(y, bit, base), bin(abs(n))[3:], base)


def _next(y: Tensor, bit: str, base: Tensor) -> Tensor:
    square = matmul(y, y)
    return matmul(square, base) if bit == "1" else square


def _pivots(a: Tensor) -> tuple[Sequence[Tensor], Tensor]:
    """The pivots, and the sign of the swaps."""
    require_small(a, "the determinant")
    found = eliminate(a)
    signs = [where(s, -1.0, 1.0, a.dtype) for s in found.swaps]
    if not signs:  # the determinant of no rows
        one = filled(a.network, (*a.shape[:-2], 1, 1), 1, a.dtype)
        return [one], one
    return found.pivots, reduce(lambda x, y: x * y, signs)


def _first(a: Tensor, values: Sequence[Tensor], fails: Callable[[Tensor], Tensor]) -> Tensor:
    """The number, from 1 on, of the first value that fails, or 0; int32."""
    number = filled(a.network, (*a.shape[:-2], 1, 1), 0, DType.INT32)
    for i, value in reversed(list(enumerate(values, 1))):
        number = where(fails(value), i, number, DType.INT32)
    return number


def _scalar(a: Tensor, value: Tensor) -> Tensor:
    return value.reshape(*a.shape[:-2])


def _broadcast(x: tuple[Any, ...], y: tuple[Any, ...]) -> tuple[Any, ...]:
    rank = max(len(x), len(y))
    return broadcast(*((1,) * (rank - len(s)) + tuple(s) for s in (x, y)))
