"""Adaptive pooling: windows chosen so that the output has a given size."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.pooling import Pooling, PoolingType
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .absent import Absent
from .creation import iota
from .pooled_indices import indices_of, uneven
from .pooling import INDICES, maximum_of
from .spatial import batched, per_axis

aten = torch.ops.aten


@converter(aten.adaptive_avg_pool1d.default)
def adaptive_avg_pool1d(x: Tensor, output_size: Sequence[int]) -> Tensor:
    """``([N,] C, L) -> ([N,] C, L')``."""
    return batched(x, 1, lambda image: _average(image, output_size))


@converter(aten.adaptive_avg_pool2d.default, aten._adaptive_avg_pool2d.default)
def adaptive_avg_pool2d(x: Tensor, output_size: Sequence[Dim]) -> Tensor:
    """``([N,] C, H, W) -> ([N,] C, H', W')``."""
    return batched(x, 2, lambda image: _average(image, output_size))


@converter(aten.adaptive_avg_pool3d.default, aten._adaptive_avg_pool3d.default)
def adaptive_avg_pool3d(x: Tensor, output_size: Sequence[Dim]) -> Tensor:
    """``([N,] C, D, H, W) -> ([N,] C, D', H', W')``, and the places of the maxima: int64."""
    return batched(x, 3, lambda image: _average(image, output_size))


@converter(aten.adaptive_max_pool1d.default)
def adaptive_max_pool1d(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor | Absent]:
    """``([N,] C, L) -> ([N,] C, L')``, and where the maxima lie in x laid flat: int64."""
    return _with_indices(x, per_axis(output_size, 1))


@converter(aten.adaptive_max_pool2d.default)
def adaptive_max_pool2d(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor | Absent]:
    """``([N,] C, H, W) -> ([N,] C, H', W')``, and where the maxima lie in x laid flat: int64."""
    return _with_indices(x, per_axis(output_size, 2))


@converter(aten.adaptive_max_pool3d.default)
def adaptive_max_pool3d(x: Tensor, output_size: Sequence[int]) -> tuple[Tensor, Tensor | Absent]:
    """``([N,] C, D, H, W) -> ([N,] C, D', H', W')``, and the places of the maxima: int64."""
    return _with_indices(x, per_axis(output_size, 3))


def _average(image: Tensor, output_size: Sequence[Dim]) -> Tensor:
    """The mean of a box is the mean of means, so each axis is pooled by what suits it."""
    sizes = per_axis(output_size, image.rank - 2)
    image = _pooled(image, sizes, PoolingType.AVERAGE)
    for axis, size in enumerate(sizes):
        if image.shape[axis + 2] != size:
            image = _multiplied(image, axis + 2, size)
    return image


def _maximum(image: Tensor, output_size: Sequence[int]) -> Tensor:
    sizes = per_axis(output_size, image.rank - 2)
    image = _pooled(image, sizes, PoolingType.MAX)
    for axis, out in enumerate(sizes, 2):
        if not isinstance(image.shape[axis], int) and out != 1:
            image = _largest(image, axis, out)
    if image.shape[2:] == sizes:
        return image
    pairs = zip(image.shape[2:], sizes, strict=True)
    return maximum_of(image, [_windows(int(size), out) for size, out in pairs])


def _with_indices(x: Tensor, output_size: tuple[int, ...]) -> tuple[Tensor, Tensor | Absent]:
    axes = len(output_size)
    pooled = batched(x, axes, lambda image: _maximum(image, output_size))
    sizes = x.shape[x.rank - axes :]
    places = [_places(x, size, out) for size, out in zip(sizes, output_size, strict=True)]
    known = [place for place in places if place is not None]
    if len(known) < axes or 0 in x.shape or 0 in pooled.shape:
        return pooled, INDICES
    if x.rank == axes + 2:
        return pooled, indices_of(x, pooled, known)
    front = Unsqueeze(axes=(0,))
    return pooled, Squeeze(axes=(0,))(indices_of(front(x), front(pooled), known))


def _places(x: Tensor, size: Dim, out: int) -> Tensor | None:
    """What the windows read along an axis; None where there is nothing to read."""
    if isinstance(size, int):
        return uneven(x, _windows(size, out)) if size and out else None
    each = iota(x.network, size).reshape(1, size).cast(DType.INT32)
    # As long as the whole axis: what is not in the window lies outside of it.
    return each if out == 1 else where(_members(x, size, out)[0], each, -1, DType.INT32)


def _pooled(image: Tensor, sizes: Sequence[Dim], type: PoolingType) -> Tensor:
    """The image with those axes pooled whose windows are all of one size."""
    whole = tuple(
        axis + 2 for axis, out in enumerate(sizes) if out == 1 and image.shape[axis + 2] != 1
    )
    if whole:
        op = ReduceOperation.AVG if type is PoolingType.AVERAGE else ReduceOperation.MAX
        image = Reduce(op=op, axes=whole, keep_dimensions=True)(image)
    window = tuple(_factor(size, out) for size, out in zip(image.shape[2:], sizes, strict=True))
    if all(factor == 1 for factor in window):
        return image
    none = (0,) * len(window)
    layer = Pooling(
        type=type, window_size=window, stride=window, pre_padding=none, post_padding=none
    )
    return layer(image)


def _factor(size: Dim, out: Dim) -> int:
    """How many elements make one of the output; 1 where that is not the same number for all."""
    known = isinstance(size, int) and isinstance(out, int)
    return size // out if known and size % out == 0 else 1


def _windows(size: int, out: int) -> list[list[int]]:
    """What PyTorch's windows hold: ``floor(i * size / out)`` to ``ceil((i + 1) * size / out)``."""
    return [list(range(i * size // out, -(-(i + 1) * size // out))) for i in range(out)]


def _multiplied(image: Tensor, axis: int, out: int) -> Tensor:
    """An axis averaged by a matrix, whose rows hold the weights of each window."""
    weights = _weights(image, image.shape[axis], out).cast(image.dtype)
    weights = weights.reshape(*(1,) * (image.rank - 2), *weights.shape)
    if axis == image.rank - 2:
        return MatrixMultiply()(weights, image)
    order = list(range(image.rank))
    order[axis], order[-1] = order[-1], order[axis]
    turned = (*range(image.rank - 2), image.rank - 1, image.rank - 2)
    return MatrixMultiply()(image.permute(*order), weights.permute(*turned)).permute(*order)


def _weights(image: Tensor, size: Dim, out: int) -> Tensor:
    """What each window reads of each element: float32 ``(out, size)``."""
    if not isinstance(size, int):
        members, count = _members(image, size, out)
        return members.cast(DType.FLOAT32) / count
    matrix = torch.zeros(out, size)
    for row, window in zip(matrix, _windows(size, out), strict=True):
        row[window] = 1 / len(window)
    return image.network.constant(matrix)


def _members(image: Tensor, size: Dim, out: int) -> tuple[Tensor, Tensor]:
    """Which elements each window holds, bool ``(out, size)``, and how many, ``(out, 1)``."""
    places = iota(image.network, size).reshape(1, size)
    window = iota(image.network, out).reshape(out, 1)
    start, end = window * size // out, ((window + 1) * size + (out - 1)) // out
    return (places >= start) & (places < end), end - start


def _largest(image: Tensor, axis: int, out: int) -> Tensor:
    """The largest element of each window along an axis whose size is known at run time only."""
    members, _ = _members(image, image.shape[axis], out)
    behind = (1,) * (image.rank - 1 - axis)
    members = members.reshape(*(1,) * axis, *members.shape, *behind)
    spread = Unsqueeze(axes=(axis,))(image)
    picked = where(members, spread, float("-inf"), image.dtype)
    return Reduce(op=ReduceOperation.MAX, axes=(axis + 1,))(picked)
