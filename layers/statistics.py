"""Variances, standard deviations and norms, all computed in float32."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.reduce import ReduceOperation
from trtdsl.ir.shuffle import Squeeze
from trtdsl.network import Scalar, Tensor
from trtdsl.operators import as_tensor, maximum, power
from trtdsl.registry import converter
from trtdsl.types import DType

from .function import absolute
from .reduction import Axes, axes_of, reduced

__all__: list[str] = []

aten = torch.ops.aten
Op = ReduceOperation


@converter(aten.var.default)
def var(x: Tensor, unbiased: bool = True) -> Tensor:
    """The variance of all elements."""
    return _variance(x, None, int(unbiased), False)[0]


@converter(aten.var.dim)
def var_dim(x: Tensor, dim: Axes, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The variance along axes."""
    return _variance(x, dim, int(unbiased), keepdim)[0]


@converter(aten.var.correction)
def var_correction(
    x: Tensor, dim: Axes = None, *, correction: Scalar | None = None, keepdim: bool = False
) -> Tensor:
    """The variance along axes: the squares' sum over the elements' number less ``correction``."""
    return _variance(x, dim, correction, keepdim)[0]


@converter(aten.std.default)
def std(x: Tensor, unbiased: bool = True) -> Tensor:
    """The standard deviation of all elements."""
    return _deviation(x, None, int(unbiased), False)[0]


@converter(aten.std.dim)
def std_dim(x: Tensor, dim: Axes, unbiased: bool = True, keepdim: bool = False) -> Tensor:
    """The standard deviation along axes."""
    return _deviation(x, dim, int(unbiased), keepdim)[0]


@converter(aten.std.correction)
def std_correction(
    x: Tensor, dim: Axes = None, *, correction: Scalar | None = None, keepdim: bool = False
) -> Tensor:
    """The standard deviation along axes."""
    return _deviation(x, dim, correction, keepdim)[0]


@converter(aten.var_mean.default)
def var_mean(x: Tensor, unbiased: bool = True) -> tuple[Tensor, Tensor]:
    """The variance and the mean of all elements."""
    return _variance(x, None, int(unbiased), False)


@converter(aten.var_mean.dim)
def var_mean_dim(
    x: Tensor, dim: Axes, unbiased: bool = True, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """The variance and the mean along axes."""
    return _variance(x, dim, int(unbiased), keepdim)


@converter(aten.var_mean.correction)
def var_mean_correction(
    x: Tensor, dim: Axes = None, *, correction: Scalar | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """The variance and the mean along axes."""
    return _variance(x, dim, correction, keepdim)


@converter(aten.std_mean.default)
def std_mean(x: Tensor, unbiased: bool = True) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean of all elements."""
    return _deviation(x, None, int(unbiased), False)


@converter(aten.std_mean.dim)
def std_mean_dim(
    x: Tensor, dim: Axes, unbiased: bool = True, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean along axes."""
    return _deviation(x, dim, int(unbiased), keepdim)


@converter(aten.std_mean.correction)
def std_mean_correction(
    x: Tensor, dim: Axes = None, *, correction: Scalar | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    """The standard deviation and the mean along axes."""
    return _deviation(x, dim, correction, keepdim)


@converter(aten.linalg_vector_norm.default)
def linalg_vector_norm(
    x: Tensor,
    ord: Scalar = 2,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """``sum(|x| ** ord) ** (1 / ord)`` along axes; extremes of ``|x|`` for infinite orders."""
    return _norm(x, ord, dim, keepdim, dtype)


@converter(aten.linalg_norm.default)
def linalg_norm(
    x: Tensor,
    ord: Scalar | None = None,
    dim: Axes = None,
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The vector norm along an axis, the matrix norm along two; of all elements without ``ord``."""
    if ord is not None and len(axes_of(x, dim)) > 1:
        return _matrix_norm(x, ord, dim, keepdim, dtype)
    return _norm(x, 2 if ord is None else ord, dim, keepdim, dtype)


@converter(aten.linalg_matrix_norm.default)
def linalg_matrix_norm(
    x: Tensor,
    ord: Scalar,
    dim: Sequence[int] = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: DType | None = None,
) -> Tensor:
    """The matrix norm of order 1 or infinity, or their negatives, along two axes."""
    return _matrix_norm(x, ord, dim, keepdim, dtype)


def _matrix_norm(x: Tensor, ord: Scalar, dim: Axes, keepdim: bool, dtype: DType | None) -> Tensor:
    """The largest sum of a column's magnitudes for order 1, of a row's for infinity; or least."""
    if abs(ord) not in (1, math.inf):
        raise ConversionError(
            explain(
                f"the matrix norm of order {ord} of {x}: TensorRT has no singular values",
                fix="use torch.linalg.vector_norm, or a Frobenius norm by leaving ord out",
            )
        )
    rows, columns = (0, 1) if dim is None or isinstance(dim, int) else dim
    summed, other = (rows, columns) if abs(ord) == 1 else (columns, rows)
    if x.shape[other] == 0:  # of no sums, PyTorch's is 0
        return _norm(x, 1, dim, keepdim, dtype)
    sums = _norm(x, 1, [summed], True, dtype)
    y = reduced(Op.MAX if ord > 0 else Op.MIN, sums, [other], True)
    return y if keepdim else Squeeze(axes=tuple(sorted((rows % x.rank, columns % x.rank))))(y)


@converter(aten.norm.Scalar)
def norm(x: Tensor, p: Scalar = 2) -> Tensor:
    """The norm of all elements."""
    return _norm(x, p, None, False, None)


@converter(aten.norm.ScalarOpt_dim)
def norm_dim(x: Tensor, p: Scalar | None, dim: Axes, keepdim: bool = False) -> Tensor:
    """The norm along axes."""
    return _norm(x, 2 if p is None else p, dim, keepdim, None)


@converter(aten.norm.ScalarOpt_dim_dtype)
def norm_dim_dtype(
    x: Tensor, p: Scalar | None, dim: Axes, keepdim: bool, *, dtype: DType
) -> Tensor:
    """The norm along axes, of x in ``dtype``."""
    return _norm(x, 2 if p is None else p, dim, keepdim, dtype)


@converter(aten.norm.ScalarOpt_dtype)
def norm_dtype(x: Tensor, p: Scalar | None, *, dtype: DType) -> Tensor:
    """The norm of all elements, of x in ``dtype``."""
    return _norm(x, 2 if p is None else p, None, False, dtype)


def _variance(
    x: Tensor, dim: Axes, correction: Scalar | None, keepdim: bool
) -> tuple[Tensor, Tensor]:
    wide = x.cast(DType.FLOAT32)
    centre = reduced(Op.AVG, wide, dim, True)
    difference = wide - centre
    squares = reduced(Op.SUM, difference * difference, dim, keepdim)
    count = math.prod(x.shape[axis] for axis in axes_of(x, dim))
    freedom = maximum(as_tensor(count, x.network, DType.FLOAT32) - _or_one(correction), 0.0)
    mean = centre.reshape(*squares.shape)
    return (squares / freedom).cast(x.dtype), mean.cast(x.dtype)


def _deviation(
    x: Tensor, dim: Axes, correction: Scalar | None, keepdim: bool
) -> tuple[Tensor, Tensor]:
    variance, mean = _variance(x.cast(DType.FLOAT32), dim, correction, keepdim)
    deviation = Unary(op=UnaryOperation.SQRT)(variance)
    return deviation.cast(x.dtype), mean.cast(x.dtype)


def _or_one(correction: Scalar | None) -> Scalar:
    return 1 if correction is None else correction


def _norm(x: Tensor, order: Scalar, dim: Axes, keepdim: bool, dtype: DType | None) -> Tensor:
    dtype = dtype or x.dtype
    size = absolute(x.cast(dtype).cast(DType.FLOAT32))
    return _norm_of(size, order, dim, keepdim).cast(dtype)


def _norm_of(size: Tensor, order: Scalar, dim: Axes, keepdim: bool) -> Tensor:
    """The norm of elements that are not negative."""
    if abs(order) == math.inf:
        return reduced(Op.MAX if order > 0 else Op.MIN, size, dim, keepdim)
    if order == 0:
        return reduced(Op.SUM, (~size.equal(0)).cast(DType.FLOAT32), dim, keepdim)
    if order == 1:
        return reduced(Op.SUM, size, dim, keepdim)
    if order == 2:
        return Unary(op=UnaryOperation.SQRT)(reduced(Op.SUM, size * size, dim, keepdim))
    return power(reduced(Op.SUM, power(size, float(order)), dim, keepdim), 1 / order)
