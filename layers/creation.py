"""Tensors made from sizes and numbers: constants where the sizes are static."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.ir.fill import Fill
from trtdsl.network import Network, Operand, Tensor
from trtdsl.operators import as_tensor
from trtdsl.real import is_real, is_truth
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim, is_static

from .shape import expanded

__all__ = ["filled", "iota"]

aten = torch.ops.aten


def filled(net: Network, size: Sequence[Dim], value: Operand, dtype: DType) -> Tensor:
    """``value`` repeated to ``size``, which takes no memory before TensorRT takes it."""
    if is_static(size) and isinstance(value, bool | int | float):
        return net.constant(torch.full((), value, dtype=dtype.torch).expand(tuple(size)))
    return expanded(as_tensor(value, net, dtype), size)


def iota(net: Network, count: Dim) -> Tensor:
    """``0 .. count - 1``, int64 ``(count,)``."""
    count = as_dim(count)
    if isinstance(count, int):
        return net.constant(torch.arange(count))
    return net.append(Fill(shape=(count,)), ())[0]


@converter(aten.full.default)
def full(
    net: Network,
    size: Sequence[Dim],
    fill_value: Operand,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``fill_value`` in ``size``."""
    return filled(net, size, fill_value, dtype or _dtype_of(fill_value))


@converter(aten.zeros.default)
def zeros(
    net: Network,
    size: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """0 in ``size``."""
    return filled(net, size, 0, dtype or DType.FLOAT32)


@converter(aten.ones.default)
def ones(
    net: Network,
    size: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """1 in ``size``."""
    return filled(net, size, 1, dtype or DType.FLOAT32)


@converter(aten.full_like.default)
def full_like(
    x: Tensor,
    fill_value: Operand,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """``fill_value`` in x's shape."""
    return filled(x.network, x.shape, fill_value, dtype or x.dtype)


@converter(aten.zeros_like.default)
def zeros_like(
    x: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """0 in x's shape."""
    return filled(x.network, x.shape, 0, dtype or x.dtype)


@converter(aten.ones_like.default)
def ones_like(
    x: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """1 in x's shape."""
    return filled(x.network, x.shape, 1, dtype or x.dtype)


@converter(aten.new_full.default)
def new_full(
    x: Tensor,
    size: Sequence[Dim],
    fill_value: Operand,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """``fill_value`` in ``size``, in x's dtype."""
    return filled(x.network, size, fill_value, dtype or x.dtype)


@converter(aten.new_zeros.default)
def new_zeros(
    x: Tensor,
    size: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """0 in ``size``, in x's dtype."""
    return filled(x.network, size, 0, dtype or x.dtype)


@converter(aten.new_ones.default)
def new_ones(
    x: Tensor,
    size: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """1 in ``size``, in x's dtype."""
    return filled(x.network, size, 1, dtype or x.dtype)


@converter(aten.fill.Scalar, aten.fill.Tensor)
def fill(x: Tensor, value: Operand) -> Tensor:
    """``value`` in x's shape and dtype."""
    return filled(x.network, x.shape, value, x.dtype)


@converter(aten.zero.default)
def zero(x: Tensor) -> Tensor:
    """0 in x's shape and dtype."""
    return filled(x.network, x.shape, 0, x.dtype)


@converter(aten.scalar_tensor.default)
def scalar_tensor(
    net: Network,
    s: Operand,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """The scalar as a tensor of rank 0, float32 where nothing else is asked for."""
    return filled(net, (), s, dtype or DType.FLOAT32)


def _dtype_of(value: Operand) -> DType:
    if isinstance(value, bool):
        return DType.BOOL
    if is_truth(value):
        return DType.BOOL
    return DType.FLOAT32 if isinstance(value, float) or is_real(value) else DType.INT64
