"""Counting: ranges, even steps, the diagonal and the triangles beside it."""

from __future__ import annotations

from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.network import Network, Tensor
from trtdsl.operators import where
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


@converter(aten.linspace.default)
def linspace(
    net: Network,
    start: float,
    end: float,
    steps: int,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``steps`` numbers from ``start`` to ``end``, both included."""
    if not isinstance(steps, int):
        raise ConversionError(
            explain(f"linspace of {steps} steps", fix="give a number of steps that does not vary")
        )
    return net.constant(torch.linspace(start, end, steps, dtype=(dtype or DType.FLOAT32).torch))


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
        dtype = DType.FLOAT32 if any(isinstance(v, float) for v in values) else DType.INT64
    if all(isinstance(v, int | float) for v in values):
        return net.constant(torch.arange(start, end, step, dtype=dtype.torch))
    if any(isinstance(v, float) for v in values):
        raise ConversionError(
            explain(
                f"arange({start}, {end}, {step}): a symbolic size beside a fraction",
                fix="count in integers, and multiply afterwards",
            )
        )
    count = -((start - end) // step)
    numbers: Tensor = iota(net, count)
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
