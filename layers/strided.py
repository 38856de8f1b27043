"""Views by strides over a tensor's memory, and parts of it replaced.

A network's tensors have no memory of their own making: capture sees to it that the tensor which
such an operator reads lies there in order (``trtdsl.export.storage``): its memory is x laid flat.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.gather import Gather
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import add
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, is_static

from .creation import iota

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.as_strided.default, aten.as_strided_copy.default)
def as_strided(
    x: Tensor, size: Sequence[Dim], stride: Sequence[Dim], storage_offset: Dim | None = None
) -> Tensor:
    """``y[i, j] = flat[storage_offset + i * stride[0] + j * stride[1]]`` of x laid flat."""
    offset = storage_offset or 0
    flat = x.reshape(math.prod(x.shape))
    if _in_order(size, stride):
        return section(flat, 0, offset, math.prod(size)).reshape(*size)
    reach = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    volume = flat.shape[0]
    if is_static((reach, volume)) and 0 not in size and reach >= volume:
        raise ConversionError(
            explain(
                f"as_strided reads element {reach} of {x}, which has {volume}",
                fix="take the view of the whole tensor instead of one of its views",
            )
        )
    return Gather(axis=0)(flat, _places(x, size, stride, offset))


def _in_order(size: Sequence[Dim], stride: Sequence[Dim]) -> bool:
    """Whether the strides are those of a tensor of this size that lies in memory in order."""
    step: Dim = 1
    for n, given in zip(reversed(size), reversed(stride), strict=True):
        if n != 1 and given != step:
            return False
        step = step * n
    return True


def _places(x: Tensor, size: Sequence[Dim], stride: Sequence[Dim], offset: Dim) -> Tensor:
    """Where each element lies, counted from the first; a constant if nothing is symbolic."""
    net = x.network
    if is_static((*size, *stride, offset)):
        return net.constant(_static_places(size, stride, offset).int())
    places: Tensor | None = None
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        ones: list[Dim] = [1] * len(size)
        ones[axis] = n
        steps: Tensor = (iota(net, n) * step).reshape(*ones)
        places = steps if places is None else places + steps
    assert places is not None  # without sizes, the strides are in order
    return add(places, offset).cast(DType.INT32)


def _static_places(size: Sequence[int], stride: Sequence[int], offset: int) -> torch.Tensor:
    places = torch.tensor(offset).expand(tuple(size))
    for axis, (n, step) in enumerate(zip(size, stride, strict=True)):
        ones = [1] * len(size)
        ones[axis] = n
        places = places + (torch.arange(n) * step).view(ones)
    return places


@converter(aten.as_strided_scatter.default)
def as_strided_scatter(
    x: Tensor,
    src: Tensor,
    size: Sequence[Dim],
    stride: Sequence[Dim],
    storage_offset: Dim | None = None,
) -> Tensor:
    """x with the elements that ``as_strided`` would read replaced by ``src``."""
    if not is_static((*x.shape, *size, *stride, storage_offset or 0)):
        raise ConversionError(
            explain(
                f"as_strided_scatter into {x} at {list(size)}: sizes that are not known",
                fix="give these axes fixed sizes in dynamic_shapes",
            )
        )
    return _replaced(x, src, _static_places(size, stride, storage_offset or 0))


def _replaced(x: Tensor, src: Tensor, places: torch.Tensor) -> Tensor:
    """x with the elements at these places, counted over x laid flat, replaced by those of src."""
    count = math.prod(x.shape)
    order = torch.arange(count, dtype=torch.int32)
    order[places.reshape(-1)] = count + torch.arange(places.numel(), dtype=torch.int32)
    flat = (x.reshape(count), src.cast(x.dtype).reshape(places.numel()))
    both = Concatenation(axis=0)(*flat)
    return Gather(axis=0)(both, x.network.constant(order)).reshape(*x.shape)
