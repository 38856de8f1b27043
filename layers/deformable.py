"""Deformable convolution: torchvision's operator as samples of the image and a matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.grid_sample import GridSample
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .creation import iota
from .indexing import select

__all__: list[str] = []


@converter("torchvision::deform_conv2d")
def deform_conv2d(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor,
    bias: Tensor,
    stride_h: Dim,
    stride_w: Dim,
    pad_h: Dim,
    pad_w: Dim,
    dilation_h: Dim,
    dilation_w: Dim,
    groups: Dim,
    offset_groups: Dim,
    use_mask: bool,
) -> Tensor:
    """A convolution whose every tap is read where an offset says, times a mask if there is one.

    Offsets are ``(N, offset_groups * h * w * 2, H', W')``, row before column, and masks
    ``(N, offset_groups * h * w, H', W')``. Source: https://arxiv.org/abs/1811.11168.
    """
    batch, channels, height, width = input.shape
    maps, _, *window = weight.shape
    taps, (tall, wide) = math.prod(window), offset.shape[2:]
    images = batch * offset_groups
    moves = offset.cast(DType.FLOAT32).reshape(images, taps, 2, tall, wide)
    axes = ((stride_h, pad_h, dilation_h), (stride_w, pad_w, dilation_w))
    points = [
        Unsqueeze(axes=(4,))((_at(moves, axis, window, *numbers) * 2 + 1) / size - 1)
        for axis, (size, numbers) in enumerate(zip((height, width), axes, strict=True))
    ]
    grid = Concatenation(axis=4)(points[1], points[0]).reshape(images, taps * tall, wide, 2)
    group = channels // offset_groups
    sampled = GridSample()(
        input.cast(DType.FLOAT32).reshape(images, group, height, width), grid
    ).cast(input.dtype)
    sampled = sampled.reshape(batch, offset_groups, group, taps, tall * wide)
    if use_mask:
        sampled = sampled * mask.reshape(batch, offset_groups, 1, taps, tall * wide)
    patches = sampled.reshape(batch, groups, channels // groups * taps, tall * wide)
    kernel = weight.reshape(1, groups, maps // groups, channels // groups * taps)
    y: Tensor = (kernel @ patches).reshape(batch, maps, tall, wide)
    return y + bias.reshape(1, maps, 1, 1)


def _at(
    moves: Tensor, axis: int, window: Sequence[int], stride: Dim, pad: Dim, dilation: Dim
) -> Tensor:
    """Where each tap reads along an axis, for each output: ``(images, taps, H', W')``."""
    net, size = moves.network, moves.shape[3 + axis]
    tap = [place[axis] * dilation - pad for place in product(*map(range, window))]
    begin: Tensor = iota(net, size).cast(DType.FLOAT32) * stride
    at = select(moves, 2, axis) + begin.reshape(1, 1, *((size, 1) if axis == 0 else (1, size)))
    return at + net.constant(tap, DType.FLOAT32).reshape(1, len(tap), 1, 1)
