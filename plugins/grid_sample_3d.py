"""Samples of a volume where a grid says, which TensorRT's layer does for images only.

``trtdsl.layers.sampling`` does the same by eight gathers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn.functional import grid_sample

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.layers.sampling import grid_sampler as layers
from trtdsl.network import Tensor
from trtdsl.types import TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "GridSample3d", "grid_sampler"]

_MODES = ("bilinear", "nearest")
_PADDINGS = ("zeros", "border", "reflection")
_CHUNK = 8
"""Channels a thread reads at one place."""


@dataclass(frozen=True, kw_only=True)
class GridSample3d(Plugin, kernel="grid_sample_3d.cu"):
    """``(N, C, D, H, W), (N, d, h, w, 3) -> (N, C, d, h, w)``; the grid has x, y, z in -1..1.

    ``mode`` is bilinear or nearest, ``padding_mode`` zeros, border or reflection. Both inputs are
    float32 or float16; places and sums are float32.
    Errors: ShapeError. Source: aten::grid_sampler_3d.
    """

    mode: str = "bilinear"
    padding_mode: str = "zeros"
    align_corners: bool = False

    def infer(self, x: TensorType, grid: TensorType) -> TensorType:
        self.require_floats(x, grid)
        self.require(self.mode in _MODES, f"mode is one of {', '.join(_MODES)}")
        padding = self.padding_mode in _PADDINGS
        self.require(padding, f"padding_mode is one of {', '.join(_PADDINGS)}")
        self.require(x.rank == 5, f"takes volumes, not {x}")
        grid_is_of_volumes = grid.rank == 5 and grid.shape[4] == 3
        self.require(grid_is_of_volumes, f"takes a grid (N, d, h, w, 3), not {grid}")
        return x.with_shape((*x.shape[:2], *grid.shape[1:4]))

    def evaluate(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        y = grid_sample(
            x.float(),
            grid.float(),
            mode=self.mode,
            padding_mode=self.padding_mode,
            align_corners=self.align_corners,
        )
        return y.to(x.dtype)

    def launch(self, x: Buffer, grid: Buffer, y: Buffer, *, workspace: Buffer | None) -> Launch:
        batch, channels, *sizes = x.shape
        places = math.prod(y.shape[2:])
        return per_element(
            "grid_sample",
            batch * -(-channels // _CHUNK) * places,
            *(x, grid, y, channels, *sizes, places, _CHUNK),
            *(self.mode == "nearest", _PADDINGS.index(self.padding_mode), self.align_corners),
        )


def grid_sampler(
    input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int, align_corners: bool
) -> Tensor:
    """``aten::grid_sampler`` of volumes by the plugin; of images by TensorRT's layer, as ever."""
    if input.rank != 5 or interpolation_mode >= len(_MODES):
        y: Tensor = layers(input, grid, interpolation_mode, padding_mode, align_corners)
        return y
    plugin = GridSample3d(
        mode=_MODES[interpolation_mode],
        padding_mode=_PADDINGS[padding_mode],
        align_corners=align_corners,
    )
    return plugin(input, grid)


CONVERTERS = {
    torch.ops.aten.grid_sampler.default: grid_sampler,
    torch.ops.aten.grid_sampler_3d.default: grid_sampler,
}
