"""``GridSample``: images read at coordinates that are a tensor themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.detour import detour
from trtdsl.ir.resize import InterpolationMode
from trtdsl.ir.slice import SampleMode
from trtdsl.types import DType, TensorType, broadcast, is_static

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["GridSample"]

_MODES = {
    InterpolationMode.NEAREST: "nearest",
    InterpolationMode.LINEAR: "bilinear",
}
_OUTSIDE = {SampleMode.FILL: "zeros", SampleMode.CLAMP: "border", SampleMode.REFLECT: "reflection"}


@dataclass(frozen=True, kw_only=True)
class GridSample(Layer):
    """``y[n, c, i, j]`` is ``x[n, c]`` at ``grid[n, i, j]``: ``(N, C, H, W), (N, h, w, 2)``.

    Inputs: x and grid float of one dtype; a point of the grid is (column, row), of which -1 and 1
    are the image's borders: the middles of the outermost elements with ``align_corners``, else
    their outer edges. Output: ``(N, C, h, w)``. Outside of the image FILL reads 0, CLAMP the
    nearest element, and REFLECT mirrors. Source: add_grid_sample.
    """

    interpolation_mode: InterpolationMode = InterpolationMode.LINEAR
    align_corners: bool = False
    sample_mode: SampleMode = SampleMode.FILL

    def infer(self, x: TensorType, grid: TensorType) -> TensorType:
        self.require_floats(x, grid)
        self.require(x.rank == grid.rank == 4, f"takes ranks of 4, not {x} and {grid}")
        self.require(self.sample_mode in _OUTSIDE, f"has no mode {self.sample_mode.name}")
        self.require(
            self.interpolation_mode in _MODES,
            "CUBIC of TensorRT 8.6 is not PyTorch's",
            fix="use torch.nn.functional.grid_sample, which becomes gathers",
        )
        self.require(grid.shape[3] == 2, f"a point of the grid has 2 coordinates: {grid}")
        some = all(n != 0 for n in x.shape[1:])
        self.require(some, f"{x} has no elements to read", fix="give an image of some size")
        same = not is_static((x.shape[0], grid.shape[0])) or x.shape[0] == grid.shape[0]
        self.require(same, f"batch sizes of {x} and {grid} differ")
        (batch,) = broadcast(x.shape[:1], grid.shape[:1])
        return x.with_shape((batch, x.shape[1], *grid.shape[1:3]))

    def evaluate(self, x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        from torch.nn.functional import grid_sample

        y = grid_sample(
            x.float(),
            grid.float(),
            mode=_MODES[self.interpolation_mode],
            padding_mode=_OUTSIDE[self.sample_mode],
            align_corners=self.align_corners,
        )
        return y.to(x.dtype)

    def takes(self, x: TensorType, grid: TensorType) -> bool:  # type: ignore[override]
        # TensorRT samples float32 and float16. Source: its operator reference, GridSample.
        return x.dtype is not DType.BFLOAT16

    def expand(self, x: Tensor, grid: Tensor) -> Any:
        """bfloat16 by way of float32."""
        return detour(self, (x, grid), around=DType.BFLOAT16)

    def lower(self, api: Api, x: Any, grid: Any) -> Any:
        layer = api.add_grid_sample(x, grid)
        layer.interpolation_mode = api.enum("InterpolationMode", self.interpolation_mode)
        layer.align_corners = self.align_corners
        layer.sample_mode = api.enum("SampleMode", self.sample_mode)
        return layer
