"""Deformable convolution: a plugin gathers what its taps read, and a matrix product does the rest.

``trtdsl.layers.deformable`` does the same in TensorRT's own layers, at several times the memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Tensor
from trtdsl.types import Dim, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "DeformableColumns", "deform_conv2d"]

_CHUNK = 8
"""Channels a thread reads at one place."""


@dataclass(frozen=True, kw_only=True)
class DeformableColumns(Plugin, kernel="deformable.cu"):
    """What each tap of a deformable convolution reads, for every place of its output.

    Inputs: x ``(N, C, H, W)``, offsets ``(N, offset_groups * h * w * 2, H', W')``, row before
    column, and for version 2 of the operator a mask ``(N, offset_groups * h * w, H', W')``; all
    float32 or all float16. Output: ``(N, C * h * w, H', W')``, bilinear between elements and 0
    outside of the image, computed in float32.
    Errors: ShapeError. Source: https://arxiv.org/abs/1703.06211, https://arxiv.org/abs/1811.11168;
    torchvision's deform_conv2d.
    """

    narrows: ClassVar[bool] = True

    window: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    offset_groups: int = 1

    def infer(
        self, x: TensorType, offset: TensorType, mask: TensorType | None = None
    ) -> TensorType:
        given = (x, offset) if mask is None else (x, offset, mask)
        self.require_floats(*given)
        self.require(all(t.rank == 4 for t in given), f"takes images, not {x} and {offset}")
        taps = math.prod(self.window) * self.offset_groups
        self.require(offset.shape[1] == 2 * taps, f"{2 * taps} offsets a place, not {offset}")
        self.require(mask is None or mask.shape[1] == taps, f"{taps} factors a place, not {mask}")
        return x.with_shape((x.shape[0], x.shape[1] * math.prod(self.window), *offset.shape[2:]))

    def evaluate(
        self, x: torch.Tensor, offset: torch.Tensor, mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        batch, channels, height, width = x.shape
        taps, places = math.prod(self.window), offset.shape[2:]
        moves = offset.float().reshape(batch, self.offset_groups, taps, 2, *places)
        rows, columns = self._rests(places, x.device)
        at = rows + moves[:, :, :, 0], columns + moves[:, :, :, 1]
        images = x.float().reshape(batch, self.offset_groups, -1, height * width)
        y = images.new_zeros(*images.shape[:3], taps, *places)
        low = [p.floor() for p in at]
        for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
            row, column = low[0] + down, low[1] + right
            weight = (1 - (at[0] - row).abs()) * (1 - (at[1] - column).abs())
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            index = torch.where(inside, row * width + column, 0).long()
            flat = index.reshape(batch, self.offset_groups, 1, -1).expand(
                -1, -1, images.shape[2], -1
            )
            read = images.gather(3, flat).reshape(y.shape)
            y += read * torch.where(inside, weight, 0.0).unsqueeze(2)
        if mask is not None:
            y *= mask.float().reshape(batch, self.offset_groups, 1, taps, *places)
        return y.reshape(batch, channels * taps, *places).to(x.dtype)

    def _rests(
        self, places: tuple[int, ...], device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows and columns that taps read where all offsets are 0, as ``(taps, H', W')``."""
        axes = []
        for axis in (0, 1):
            begin = torch.arange(places[axis], device=device) * self.stride[axis]
            tap = torch.arange(self.window[axis], device=device) * self.dilation[axis]
            axes.append(tap[:, None] + begin - self.padding[axis])
        (tall, high), (wide, broad) = axes[0].shape, axes[1].shape
        shape = tall, wide, high, broad
        rows = axes[0].reshape(tall, 1, high, 1).expand(shape)
        columns = axes[1].reshape(1, wide, 1, broad).expand(shape)
        return rows.reshape(-1, high, broad).float(), columns.reshape(-1, high, broad).float()

    def launch(self, x: Buffer, offset: Buffer, *rest: Buffer, workspace: Buffer | None) -> Launch:
        *masks, y = rest
        batch, channels, height, width = x.shape
        places = offset.shape[2:]
        chunks = -(-(channels // self.offset_groups) // _CHUNK)
        return per_element(
            "columns",
            batch * self.offset_groups * chunks * math.prod(self.window) * math.prod(places),
            *(x, offset, masks[0] if masks else None, y),
            *(channels, height, width, self.offset_groups, _CHUNK),
            *(*self.window, *places, *self.stride, *self.padding, *self.dilation),
        )


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
    """torchvision's ``deform_conv2d``: version 1 of the operator, or 2 where ``use_mask`` is set.

    x ``(N, C, H, W)``, weight ``(M, C / groups, h, w)``, bias ``(M,)`` -> ``(N, M, H', W')``.
    """
    batch, channels = input.shape[:2]
    maps, _, *window = weight.shape
    places = offset.shape[2:]
    plugin = DeformableColumns(
        window=tuple(window),
        stride=(stride_h, stride_w),
        padding=(pad_h, pad_w),
        dilation=(dilation_h, dilation_w),
        offset_groups=offset_groups,
    )
    columns = plugin(input, offset, mask) if use_mask else plugin(input, offset)
    length = channels // groups * math.prod(window)
    columns = columns.reshape(batch, groups, length, math.prod(places))
    kernel = weight.reshape(1, groups, maps // groups, length)
    y: Tensor = (kernel @ columns).reshape(batch, maps, *places)
    return y + bias.reshape(1, maps, 1, 1)


CONVERTERS = {"torchvision::deform_conv2d": deform_conv2d}
