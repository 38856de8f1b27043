"""Changes of dtype; copies and views of the whole, which vanish."""

from __future__ import annotations

from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.network import Network, Operand, Tensor
from trtdsl.operators import as_tensor
from trtdsl.registry import converter
from trtdsl.types import DType

from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.to.dtype)
def to_dtype(
    x: Tensor,
    dtype: DType,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """x in ``dtype``."""
    return x.cast(dtype)


@converter(aten.to.device)
def to_device(
    x: Tensor,
    device: Any,
    dtype: DType,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """x in ``dtype``; an engine has one device."""
    return x.cast(dtype)


@converter(aten.to.other)
def to_other(
    x: Tensor,
    other: Tensor,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """x in the dtype of ``other``."""
    return x.cast(other.dtype)


@converter(aten.to.dtype_layout)
def to_dtype_layout(
    x: Tensor,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """x in ``dtype``, where one is given."""
    return x if dtype is None else x.cast(dtype)


@converter(aten._to_copy.default)
def to_copy(
    net: Network,
    x: Operand,
    *,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """x in ``dtype``, where one is given."""
    x = as_tensor(x, net)  # of a number, as torch.vmap has it
    return x if dtype is None else x.cast(dtype)


@converter(aten.view.dtype)
def view_dtype(x: Tensor, dtype: DType) -> Tensor:
    """x itself, where it has that dtype."""
    if dtype is x.dtype:
        return x
    raise ConversionError(
        explain(
            f"{x} read as {dtype.short}: TensorRT reads no dtype's bits as another's",
            fix="convert the values by .to(), or read the bits outside of the model",
        )
    )


@converter(aten.type_as.default)
def type_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the dtype of ``other``."""
    return x.cast(other.dtype)


@converter(aten.clone.default)
def clone(x: Tensor, *, memory_format: Any = None) -> Tensor:
    """x itself: nothing in a network is overwritten."""
    return x


@converter(aten.contiguous.default)
def contiguous(x: Tensor, *, memory_format: Any = 0) -> Tensor:
    """x itself: TensorRT chooses the memory format."""
    return x


@converter(
    aten.alias.default,
    aten.detach.default,
    aten.lift_fresh.default,
    aten.lift_fresh_copy.default,
    aten.positive.default,
)
def alias(x: Tensor) -> Tensor:
    """x itself."""
    return x


@converter(aten.copy.default)
def copy(x: Tensor, src: Tensor, non_blocking: bool = False) -> Tensor:
    """``src`` in the shape and dtype of x."""
    return expanded(src.cast(x.dtype), x.shape)
