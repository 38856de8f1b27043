"""Converters that reorder or repeat elements: flip, roll, repeat, shuffles."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.ir.shuffle import Shuffle, Unsqueeze
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, is_static

from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.flip.default)
def flip(x: Tensor, dims: Sequence[int]) -> Tensor:
    """x with the axes ``dims`` back to front."""
    axes = {d % x.rank for d in dims} if x.rank else set()
    if not axes:
        return x
    start = tuple(n - 1 if axis in axes else 0 for axis, n in enumerate(x.shape))
    stride = tuple(-1 if axis in axes else 1 for axis in range(x.rank))
    return Slice(start=start, shape=x.shape, stride=stride)(x)


@converter(aten.roll.default)
def roll(x: Tensor, shifts: Sequence[Dim], dims: Sequence[int] = ()) -> Tensor:
    """x moved on by ``shifts``; what falls off at one end comes in at the other."""
    if not dims:
        flat = x.reshape(math.prod(x.shape))
        return _rolled(flat, {0: shifts[0]}).reshape(*x.shape)
    moves: dict[int, Dim] = {}
    for shift, dim in zip(shifts, dims, strict=True):
        moves[dim % x.rank] = moves.get(dim % x.rank, 0) + shift
    return _rolled(x, moves)


def _rolled(x: Tensor, moves: dict[int, Dim]) -> Tensor:
    def first(axis: int, size: Dim) -> Dim:
        shift = moves.get(axis, 0)
        return -shift % size if is_static((shift, size)) and size else -shift

    start = tuple(first(axis, size) for axis, size in enumerate(x.shape))
    if all(s == 0 for s in start) or 0 in x.shape:
        return x
    return Slice(start=start, shape=x.shape, stride=(1,) * x.rank, mode=SampleMode.WRAP)(x)


def _repeated(x: Tensor, repeats: Sequence[Dim]) -> Tensor:
    if len(repeats) > x.rank:
        x = Unsqueeze(axes=tuple(range(len(repeats) - x.rank)))(x)
    pairs = [*zip(x.shape, repeats, strict=True)]
    shape = tuple(size * count for size, count in pairs)
    if all(size == 1 or count == 1 for size, count in pairs):
        return expanded(x, shape)
    return Slice(start=(0,) * x.rank, shape=shape, stride=(1,) * x.rank, mode=SampleMode.WRAP)(x)


@converter(aten.repeat.default)
def repeat(x: Tensor, repeats: Sequence[Dim]) -> Tensor:
    """x so many times along each axis; new axes come in front."""
    return _repeated(x, repeats)


@converter(aten.tile.default)
def tile(x: Tensor, dims: Sequence[Dim]) -> Tensor:
    """x so many times along its last axes."""
    return _repeated(x, (*[1] * (x.rank - len(dims)), *dims))


@converter(aten.repeat_interleave.self_int)
def repeat_interleave(
    x: Tensor, repeats: Dim, dim: int | None = None, *, output_size: Dim | None = None
) -> Tensor:
    """Each element ``repeats`` times in a row along ``dim``, or along x laid flat."""
    if dim is None:
        x, dim = x.reshape(math.prod(x.shape)), 0
    axis = dim % x.rank
    before, after = x.shape[: axis + 1], x.shape[axis + 1 :]
    each = expanded(Unsqueeze(axes=(axis + 1,))(x), (*before, repeats, *after))
    return each.reshape(*before[:-1], before[-1] * repeats, *after)


@converter(aten.channel_shuffle.default, aten.native_channel_shuffle.default)
def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """``(N, G * C, *S)``: channel ``g * C + c`` becomes channel ``c * G + g``."""
    batch, channels, *sizes = x.shape
    split = (batch, groups, channels // groups, *sizes)
    order = (0, 2, 1, *range(3, len(split)))
    return Shuffle(reshape_dims=split, second_transpose=order)(x).reshape(*x.shape)


@converter(aten.pixel_shuffle.default)
def pixel_shuffle(x: Tensor, upscale_factor: int) -> Tensor:
    """``(*, C * r * r, H, W) -> (*, C, H * r, W * r)``."""
    r = upscale_factor
    *lead, channels, height, width = x.shape
    n = len(lead)
    split = Shuffle(
        reshape_dims=(*lead, channels // (r * r), r, r, height, width),
        second_transpose=(*range(n), n, n + 3, n + 1, n + 4, n + 2),
    )
    return split(x).reshape(*lead, channels // (r * r), height * r, width * r)


@converter(aten.pixel_unshuffle.default)
def pixel_unshuffle(x: Tensor, downscale_factor: int) -> Tensor:
    """``(*, C, H * r, W * r) -> (*, C * r * r, H, W)``."""
    r = downscale_factor
    *lead, channels, height, width = x.shape
    n = len(lead)
    split = Shuffle(
        reshape_dims=(*lead, channels, height // r, r, width // r, r),
        second_transpose=(*range(n), n, n + 2, n + 4, n + 1, n + 3),
    )
    return split(x).reshape(*lead, channels * r * r, height // r, width // r)
