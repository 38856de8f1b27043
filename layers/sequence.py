"""Counting: ranges, even steps, the diagonal and the triangles beside it."""

from __future__ import annotations

from typing import Any

import torch

from trtdsl.network import Network, Operand, Tensor
from trtdsl.operators import add, as_tensor, maximum, power, where
from trtdsl.real import is_real
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import iota

__all__: list[str] = []

aten = torch.ops.aten
_INT64 = 4
"""What schemas call int64 where it is a default. Source: c10::ScalarType."""


@converter(aten.arange.default)
def arange(
    net: Network,
    end: Dim,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``0, 1, ..``, less than ``end``."""
    return _range(net, 0, end, 1, dtype)


@converter(aten.arange.start)
def arange_start(
    net: Network,
    start: Dim,
    end: Dim,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``start, start + 1, ..``, less than ``end``."""
    return _range(net, start, end, 1, dtype)


@converter(aten.arange.start_step)
def arange_start_step(
    net: Network,
    start: Dim,
    end: Dim,
    step: Dim = 1,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``start, start + step, ..``, before ``end``."""
    return _range(net, start, end, step, dtype)


@converter(
    aten.linspace.default, aten.linspace.Tensor_Tensor, aten.linspace.Tensor_Scalar,
    aten.linspace.Scalar_Tensor,
)  # fmt: skip
def linspace(
    net: Network,
    start: Operand,
    end: Operand,
    steps: Dim,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included."""
    dtype = dtype or DType.FLOAT32
    if all(isinstance(v, int | float) for v in (start, end, steps)):
        values = torch.linspace(start, end, steps, dtype=dtype.torch)  # type: ignore[arg-type]
        return net.constant(values)
    first, last = _bound(net, start, dtype), _bound(net, end, dtype)
    index = iota(net, steps)
    count = net.size(steps) - 1
    step = (last - first) / maximum(count, 1)
    # From both ends, as PyTorch does, so that the last number is the end itself.
    numbers = where(index + index < steps, first + step * index, last - step * (count - index))
    return numbers.cast(dtype)


@converter(
    aten.logspace.default, aten.logspace.Tensor_Tensor, aten.logspace.Tensor_Scalar,
    aten.logspace.Scalar_Tensor,
)  # fmt: skip
def logspace(
    net: Network,
    start: Operand,
    end: Operand,
    steps: Dim,
    base: float = 10.0,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``base`` to the power of ``steps`` numbers from ``start`` to ``end``."""
    dtype = dtype or DType.FLOAT32
    if all(isinstance(v, int | float) for v in (start, end, steps)):
        values = torch.logspace(start, end, steps, base, dtype=dtype.torch)  # type: ignore[arg-type]
        return net.constant(values)
    first, last = _bound(net, start, dtype), _bound(net, end, dtype)
    return power(base, linspace(net, first, last, steps)).cast(dtype)


def _bound(net: Network, value: Operand, dtype: DType) -> Tensor:
    """The first or last of numbers in float32; of integers it is one, without its fraction."""
    return as_tensor(value, net, dtype if dtype.is_integer else None).cast(DType.FLOAT32)


@converter(aten.eye.default)
def eye(
    net: Network,
    n: Dim,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """1 on the diagonal of ``(n, n)``, 0 elsewhere."""
    return _above(net, n, n).equal(0).cast(dtype or DType.FLOAT32)


@converter(aten.eye.m)
def eye_m(
    net: Network,
    n: Dim,
    m: Dim,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """1 on the diagonal of ``(n, m)``, 0 elsewhere."""
    return _above(net, n, m).equal(0).cast(dtype or DType.FLOAT32)


@converter(aten.tril.default)
def tril(x: Tensor, diagonal: Dim = 0) -> Tensor:
    """x on and below a diagonal of its last two axes, 0 above."""
    return where(_above(x.network, *x.shape[-2:]) <= diagonal, x, 0, x.dtype)


@converter(aten.triu.default)
def triu(x: Tensor, diagonal: Dim = 0) -> Tensor:
    """x on and above a diagonal of its last two axes, 0 below."""
    return where(_above(x.network, *x.shape[-2:]) >= diagonal, x, 0, x.dtype)


@converter(aten.tril_indices.default)
def tril_indices(
    net: Network,
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType | int | None = _INT64,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """The rows and columns of the elements on and below a diagonal, ``(2, n)``."""
    return net.constant(torch.tril_indices(row, col, offset), _named(dtype))


@converter(aten.triu_indices.default)
def triu_indices(
    net: Network,
    row: int,
    col: int,
    offset: int = 0,
    *,
    dtype: DType | int | None = _INT64,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """The rows and columns of the elements on and above a diagonal, ``(2, n)``."""
    return net.constant(torch.triu_indices(row, col, offset), _named(dtype))


def _range(net: Network, start: Dim, end: Dim, step: Dim, dtype: DType | None) -> Tensor:
    values = (start, end, step)
    if dtype is None:
        real = any(isinstance(v, float) or is_real(v) for v in values)
        dtype = DType.FLOAT32 if real else DType.INT64
    if all(isinstance(v, int | float) for v in values):
        return net.constant(torch.arange(start, end, step, dtype=dtype.torch))
    if any(isinstance(v, float) or is_real(v) for v in values):
        import sympy

        count = sympy.ceiling((end - start) / step)
        numbers = iota(net, count) * as_tensor(step, net, DType.FLOAT32)
        return add(numbers, start).cast(dtype)
    count = -((start - end) // step)
    numbers = iota(net, count)
    if step != 1:
        numbers = numbers * step
    if start != 0:
        numbers = numbers + start
    return numbers.cast(dtype)


def _above(net: Network, rows: Dim, columns: Dim) -> Tensor:
    """How far an element of ``(rows, columns)`` is above the diagonal, below it where negative."""
    return iota(net, columns).reshape(1, columns) - iota(net, rows).reshape(rows, 1)


def _named(dtype: DType | int | None) -> DType | None:
    return DType.INT64 if dtype == _INT64 else dtype  # type: ignore[return-value]
