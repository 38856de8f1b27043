"""Tensors whose values PyTorch leaves undefined: zeros, so that nothing differs between runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.network import Network, Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import filled

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.empty.memory_format)
def empty(
    net: Network,
    size: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Tensor:
    """0 in ``size``."""
    return filled(net, size, 0, dtype or DType.FLOAT32)


@converter(aten.empty_permuted.default)
def empty_permuted(
    net: Network,
    size: Sequence[Dim],
    physical_layout: Sequence[int],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """0 in ``size``; a network's tensors have no layout in memory."""
    return filled(net, size, 0, dtype or DType.FLOAT32)


@converter(aten.empty_strided.default)
def empty_strided(
    net: Network,
    size: Sequence[Dim],
    stride: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """0 in ``size``; a network's tensors have no strides."""
    return filled(net, size, 0, dtype or DType.FLOAT32)


@converter(aten.empty_like.default)
def empty_like(
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


@converter(aten.new_empty.default)
def new_empty(
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


@converter(aten.new_empty_strided.default)
def new_empty_strided(
    x: Tensor,
    size: Sequence[Dim],
    stride: Sequence[Dim],
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Tensor:
    """0 in ``size``, in x's dtype."""
    return filled(x.network, size, 0, dtype or x.dtype)
