"""PyTorch's primitive operators, which its decompositions leave behind here and there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.reduce import ReduceOperation
from trtdsl.network import Network, Scalar, Tensor
from trtdsl.operators import add, as_tensor, promote
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import iota as counted
from .reduction import reduced
from .shape import expanded

__all__: list[str] = []

prims = torch.ops.prims


@converter(prims.div.default)
def div(x: Tensor, other: Tensor) -> Tensor:
    """``x / other`` in their dtype; integers are rounded toward zero."""
    return ElementWise(op=ElementWiseOperation.DIV)(*promote(x, other))


@converter(prims.sum.default)
def sum_(inp: Tensor, dims: Sequence[int] | None, *, output_dtype: DType | None = None) -> Tensor:
    """The sum along axes; over none for an empty list."""
    x = inp if output_dtype is None else inp.cast(output_dtype)
    return x if dims is not None and not dims else reduced(ReduceOperation.SUM, x, dims)


@converter(prims.convert_element_type.default)
def convert_element_type(a: Tensor, dtype: DType) -> Tensor:
    """The same values in another dtype."""
    return a.cast(dtype)


@converter(prims.broadcast_in_dim.default)
def broadcast_in_dim(
    a: Tensor, shape: Sequence[Dim], broadcast_dimensions: Sequence[int]
) -> Tensor:
    """a with its axes at ``broadcast_dimensions`` of ``shape``, repeated over the others."""
    sizes: list[Dim] = [1] * len(shape)
    for axis, place in enumerate(broadcast_dimensions):
        sizes[place] = a.shape[axis]
    return expanded(a.reshape(*sizes), shape)


@converter(prims.scalar_tensor.default)
def scalar_tensor(
    net: Network, s: Scalar, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """The scalar as a tensor of rank 0."""
    return as_tensor(s, net, dtype)


@converter(prims.iota.default)
def iota(
    net: Network,
    length: Dim,
    *,
    start: Dim,
    step: Dim,
    dtype: DType,
    device: Any,
    requires_grad: bool,
) -> Tensor:
    """``start + step * i``, as many as ``length``."""
    return add(counted(net, length) * step, start).cast(dtype)
