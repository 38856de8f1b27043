"""ROI align: the mean of points of an image in each part of a region.

``trtdsl.layers.detection`` does the same by matrix products over the whole image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Tensor
from trtdsl.types import Dim, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "RoIAlign", "roi_align"]


@dataclass(frozen=True, kw_only=True)
class RoIAlign(Plugin, kernel="roi_align.cu"):
    """``(N, C, H, W), (K, 5) -> (K, C, *pooled)``; a region is an image's number, then two corners.

    ``sampling_ratio`` points along each axis of a part, or one an element where it is not above 0.
    ``aligned`` moves regions by half an element, as they should be. Inputs are both float32 or
    both float16, sums float32. A region of an image that is not there is 0.
    Errors: ShapeError. Source: https://arxiv.org/abs/1703.06870; torchvision's roi_align.
    """

    pooled: tuple[int, int]
    spatial_scale: float = 1.0
    sampling_ratio: int = -1
    aligned: bool = False

    def infer(self, x: TensorType, rois: TensorType) -> TensorType:
        self.require_floats(x, rois)
        self.require(x.rank == 4, f"takes images, not {x}")
        self.require(rois.rank == 2 and rois.shape[1] == 5, f"takes regions (K, 5), not {rois}")
        return x.with_shape((rois.shape[0], x.shape[1], *self.pooled))

    def evaluate(self, x: torch.Tensor, rois: torch.Tensor) -> torch.Tensor:
        y = x.new_zeros(len(rois), x.shape[1], *self.pooled, dtype=torch.float32)
        for k, (number, *corners) in enumerate(rois.float().tolist()):
            if 0 <= int(number) < len(x):
                image = x[int(number)].float()
                rows = self._weights(corners[1], corners[3], 0, image.shape[1])
                columns = self._weights(corners[0], corners[2], 1, image.shape[2])
                y[k] = rows.to(x.device) @ image @ columns.T.to(x.device)
        return y.to(x.dtype)

    def _weights(self, low: float, high: float, axis: int, size: int) -> torch.Tensor:
        """What each part of a region reads of the elements along an axis: ``(parts, size)``."""
        parts, shift = self.pooled[axis], 0.5 if self.aligned else 0.0
        start, end = (torch.tensor(v) * self.spatial_scale - shift for v in (low, high))
        length = end - start if self.aligned else (end - start).clamp(min=1.0)
        step = length / parts
        count = self.sampling_ratio if self.sampling_ratio > 0 else math.ceil(step)
        if count <= 0:
            return torch.zeros(parts, size)
        inner = (torch.arange(count) + 0.5) * step / count
        points = start + torch.arange(parts)[:, None] * step + inner
        inside = (points >= -1) & (points <= size)
        near = points.clamp(0, size - 1)[..., None] - torch.arange(size)
        weights = (1 - near.abs()).clamp(min=0) * inside[..., None]
        return weights.mean(1)

    def launch(self, x: Buffer, rois: Buffer, y: Buffer, *, workspace: Buffer | None) -> Launch:
        sizes = (*x.shape, *self.pooled)
        rule = self.spatial_scale, self.sampling_ratio, self.aligned
        return per_element("roi_align", y.volume, x, rois, y, *sizes, *rule)


def roi_align(
    input: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: Dim,
    pooled_width: Dim,
    sampling_ratio: int,
    aligned: bool,
) -> Tensor:
    """torchvision's ``roi_align``: ``(N, C, H, W), (K, 5) -> (K, C, h, w)``."""
    plugin = RoIAlign(
        pooled=(pooled_height, pooled_width),
        spatial_scale=float(spatial_scale),
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    return plugin(input, rois)


CONVERTERS = {"torchvision::roi_align": roi_align}
