"""Converters whose results have sizes that values decide, or that read a value as a number."""

from __future__ import annotations

import torch

from trtdsl.ir.gather import Gather
from trtdsl.ir.nonzero import positions
from trtdsl.ir.shuffle import Shuffle
from trtdsl.network import Tensor
from trtdsl.operators import align
from trtdsl.registry import converter
from trtdsl.types import DType, broadcast

from .creation import filled
from .shape import expanded

__all__ = ["indices_of", "laid_flat"]

aten = torch.ops.aten


def indices_of(mask: Tensor) -> list[Tensor]:
    """Where a mask of rank 1 or more is true: for each of its axes an int64 vector ``(n,)``."""
    found = positions(mask.cast(DType.BOOL))
    net = mask.network
    return [
        Gather(axis=0)(found, net.constant(axis, DType.INT64)).cast(DType.INT64)
        for axis in range(mask.rank)
    ]


def laid_flat(mask: Tensor) -> Tensor:
    """A mask as a vector; the same mask gives the same vector, and so the same positions."""
    if mask.rank == 1:
        return mask
    for operation in reversed(mask.network.operations):
        made = operation.outputs[0]
        if isinstance(operation.layer, Shuffle) and operation.inputs == (mask,) and made.rank == 1:
            return made
    return mask.reshape(-1)


@converter(aten.nonzero.default, aten.argwhere.default)
def nonzero(x: Tensor) -> Tensor:
    """The positions of what is not 0, a row each: ``(n, rank)`` int64, in the order of memory."""
    if x.rank == 0:
        count = positions(x.reshape(1).cast(DType.BOOL)).shape[1]
        return filled(x.network, (count, 0), 0, DType.INT64)
    return positions(x.cast(DType.BOOL)).permute(1, 0).cast(DType.INT64)


@converter(aten.where.default)
def where(condition: Tensor) -> list[Tensor]:
    """The positions of what is not 0, a vector an axis; of a scalar as of one element."""
    return indices_of(condition if condition.rank else condition.reshape(1))


@converter(aten.nonzero_numpy.default)
def nonzero_numpy(x: Tensor) -> list[Tensor]:
    """The positions of what is not 0, a vector an axis; of a scalar as of one element."""
    return where(x)


@converter(aten.masked_select.default)
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """The elements of x where the mask, broadcast with it, is true: ``(n,)``."""
    x, mask = align(x, mask)
    shape = broadcast(x.shape, mask.shape)
    flat = expanded(x, shape).reshape(-1)
    (index,) = indices_of(expanded(mask, shape).reshape(-1))
    return Gather(axis=0)(flat, index)


@converter(aten.item.default, aten._local_scalar_dense.default)
def item(x: Tensor) -> Tensor:
    """The one element of x as a scalar; the walk makes of it the number that PyTorch has."""
    return x.reshape()
