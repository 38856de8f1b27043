"""Converters of views: the same elements under another shape, order or rank."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.export.paths import SizeOneWarning
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import Slice
from trtdsl.network import Tensor
from trtdsl.operators import align
from trtdsl.registry import converter
from trtdsl.types import Dim, broadcast

__all__ = ["expanded"]

aten = torch.ops.aten


@converter(aten.view.default, aten._unsafe_view.default)
def view(x: Tensor, size: Sequence[Dim]) -> Tensor:
    """x in the shape ``size``, of which one entry may be -1."""
    return x.reshape(*size)


@converter(aten.reshape.default)
def reshape(x: Tensor, shape: Sequence[Dim]) -> Tensor:
    """x in another shape, of which one entry may be -1."""
    return x.reshape(*shape)


@converter(aten._reshape_alias.default)
def _reshape_alias(x: Tensor, size: Sequence[Dim], stride: Sequence[Dim]) -> Tensor:
    """x in the shape ``size``; a network's tensors have no strides."""
    return x.reshape(*size)


@converter(aten.view_as.default, aten.reshape_as.default)
def view_as(x: Tensor, other: Tensor) -> Tensor:
    """x in the shape of ``other``."""
    return x.reshape(*other.shape)


@converter(aten.flatten.using_ints)
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """x with the axes ``start_dim`` to ``end_dim`` as one."""
    if x.rank == 0:
        return x.reshape(1)
    start, end = start_dim % x.rank, end_dim % x.rank
    joined = math.prod(x.shape[start : end + 1])
    return x.reshape(*x.shape[:start], joined, *x.shape[end + 1 :])


@converter(aten.unflatten.int)
def unflatten(x: Tensor, dim: int, sizes: Sequence[Dim]) -> Tensor:
    """x with the axis ``dim`` split into ``sizes``, of which one may be -1."""
    axis = dim % x.rank
    known = math.prod(s for s in sizes if s != -1)
    filled = [x.shape[axis] // known if s == -1 else s for s in sizes]
    return x.reshape(*x.shape[:axis], *filled, *x.shape[axis + 1 :])


@converter(aten.permute.default)
def permute(x: Tensor, dims: Sequence[int]) -> Tensor:
    """x with its axes in the order ``dims``."""
    return x.permute(*dims)


def _swapped(x: Tensor, a: int, b: int) -> Tensor:
    order = list(range(x.rank))
    if x.rank:
        order[a], order[b] = order[b], order[a]
    return x.permute(*order)


@converter(aten.transpose.int, aten.swapdims.default)
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """x with two axes exchanged."""
    return _swapped(x, dim0, dim1)


@converter(aten.swapaxes.default)
def swapaxes(x: Tensor, axis0: int, axis1: int) -> Tensor:
    """x with two axes exchanged."""
    return _swapped(x, axis0, axis1)


@converter(aten.t.default, aten.numpy_T.default)
def t(x: Tensor) -> Tensor:
    """x with its axes reversed."""
    return x.permute(*reversed(range(x.rank)))


@converter(aten.mT.default, aten.mH.default, aten.adjoint.default)
def mT(x: Tensor) -> Tensor:  # noqa: N802
    """Matrices transposed; ``mH`` and ``adjoint`` are the same for real numbers."""
    return _swapped(x, -2, -1)


@converter(aten.movedim.intlist, aten.moveaxis.intlist)
def movedim(x: Tensor, source: Sequence[int], destination: Sequence[int]) -> Tensor:
    """x with the axes ``source`` put at ``destination``, the others in order between them."""
    if not x.rank:
        return x
    places = {d % x.rank: s % x.rank for s, d in zip(source, destination, strict=True)}
    others = iter(axis for axis in range(x.rank) if axis not in places.values())
    return x.permute(*(places[a] if a in places else next(others) for a in range(x.rank)))


@converter(aten.movedim.int, aten.moveaxis.int)
def movedim_int(x: Tensor, source: int, destination: int) -> Tensor:
    """x with one axis put elsewhere."""
    return movedim(x, [source], [destination])


@converter(aten.unsqueeze.default)
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """x with a size of 1 at ``dim``."""
    return Unsqueeze(axes=(dim % (x.rank + 1),))(x)


def _squeezed(x: Tensor, axes: Sequence[int]) -> Tensor:
    for axis in sorted({a % x.rank for a in axes} if x.rank else ()):
        _warn_of_one(x, axis)
    ones = tuple(sorted({a % x.rank for a in axes if x.shape[a] == 1})) if x.rank else ()
    return Squeeze(axes=ones)(x) if ones else x


def _warn_of_one(x: Tensor, axis: int) -> None:
    size = x.shape[axis]
    if isinstance(size, int) or x.network.bounds(size)[0] > 1:
        return
    message = explain(
        f"squeeze of {x} keeps axis {axis} where {size} is 1, and PyTorch does not",
        at=str(x.network.source) or None,
        fix="squeeze axes of fixed sizes by name, x.squeeze(1), or give the size min=2",
    )
    warnings.warn(message, SizeOneWarning, stacklevel=2)


@converter(aten.squeeze.default)
def squeeze(x: Tensor) -> Tensor:
    """x without its sizes of 1."""
    return _squeezed(x, range(x.rank))


@converter(aten.squeeze.dim)
def squeeze_dim(x: Tensor, dim: int) -> Tensor:
    """x without the axis ``dim``, if that is of size 1."""
    return _squeezed(x, [dim])


@converter(aten.squeeze.dims)
def squeeze_dims(x: Tensor, dim: Sequence[int]) -> Tensor:
    """x without those of the axes ``dim`` that are of size 1."""
    return _squeezed(x, dim)


def expanded(x: Tensor, size: Sequence[Dim]) -> Tensor:
    """x with its sizes of 1 repeated to ``size``, where -1 keeps a size."""
    if len(size) > x.rank:
        x = Unsqueeze(axes=tuple(range(len(size) - x.rank)))(x)
    if len(size) < x.rank:
        raise ConversionError(
            explain(f"{x} has more axes than {tuple(size)}", fix="expand to at least as many axes")
        )
    target = tuple(old if new == -1 else new for old, new in zip(x.shape, size, strict=True))
    if target == x.shape:
        return x
    # A stride of 0 reads the one element again and again.
    stride = tuple(0 if o == 1 and n != 1 else 1 for o, n in zip(x.shape, target, strict=True))
    return Slice(start=(0,) * x.rank, shape=target, stride=stride)(x)


@converter(aten.expand.default)
def expand(x: Tensor, size: Sequence[Dim], *, implicit: bool = False) -> Tensor:
    """x with its sizes of 1 repeated to ``size``; -1 keeps a size, new axes come in front."""
    return expanded(x, size)


@converter(aten.broadcast_to.default)
def broadcast_to(x: Tensor, size: Sequence[Dim]) -> Tensor:
    """x with its sizes of 1 repeated to ``size``."""
    return expanded(x, size)


@converter(aten.expand_as.default)
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """x with its sizes of 1 repeated to the shape of ``other``."""
    return expanded(x, other.shape)


@converter(aten.broadcast_tensors.default)
def broadcast_tensors(tensors: Sequence[Tensor]) -> list[Tensor]:
    """All tensors in their common shape."""
    shape = broadcast(*(x.shape for x in align(*tensors)))
    return [expanded(x, shape) for x in tensors]
