"""What torchvision does with each region by itself, for all regions at once.

torchvision enlarges the mask or the heatmaps of a region to as many pixels as the region has, which
values decide. Here an enlargement is two matrix products, with a row for each pixel of the image.
Source: torchvision.models.detection.roi_heads.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["heatmaps_to_keypoints", "keypoints_of", "paste_masks_in_image", "with_image_sizes"]

_IMAGE: ContextVar[tuple[Any, Any]] = ContextVar("height and width")


def paste_masks_in_image(
    masks: Tensor, boxes: Tensor, img_shape: tuple[Any, Any], padding: int = 1
) -> Tensor:
    """Masks ``(n, 1, m, m)`` of boxes ``(n, 4)``, in images: ``(n, 1, height, width)``."""
    import torch

    heads = sys.modules["torchvision.models.detection.roi_heads"]
    masks, scale = heads.expand_masks(masks, padding=padding)
    corners = heads.expand_boxes(boxes, scale).to(torch.int64)
    count = masks.shape[-1]

    def rows(first: Tensor, last: Tensor, size: Any) -> Tensor:
        """What pixels take of each element of a mask: ``(n, size, count)``."""
        at = torch.arange(size, device=first.device) - first[:, None]
        length = (last - first + 1).clamp(min=1)
        source = (at + 0.5) * (count / length)[:, None] - 0.5
        away = source.clamp(0, count - 1)[..., None] - torch.arange(count, device=first.device)
        inside = (at >= 0) & (at <= (last - first)[:, None])
        return ((1 - away.abs()).clamp(min=0) * inside[..., None]).to(masks.dtype)

    left, top, right, bottom = corners.unbind(1)
    tall, wide = rows(top, bottom, img_shape[0]), rows(left, right, img_shape[1])
    return (tall @ masks[:, 0] @ wide.transpose(1, 2))[:, None]


def heatmaps_to_keypoints(maps: Tensor, rois: Tensor, size: tuple[Any, Any]) -> Any:
    """Where heatmaps ``(n, k, m, m)`` of regions in images of one size are largest, and how large.

    Points ``(n, k, 3)`` and scores ``(n, k)``. The maps are enlarged bicubically, one keypoint
    after the other: of all of them at once an engine would need k times the memory.
    """
    import torch
    from torch.nn.functional import pad

    sides = (rois[:, 2:] - rois[:, :2]).clamp(min=1)
    pixels = sides.ceil()
    maps = pad(maps, (2, 2, 2, 2), mode="replicate")
    tall = _bicubic(pixels[:, 1], size[0], maps.shape[2] - 4)
    wide = _bicubic(pixels[:, 0], size[1], maps.shape[3] - 4).transpose(1, 2)
    row, column = (torch.arange(s, device=maps.device) for s in size)
    inside = (row < pixels[:, 1:])[:, :, None] & (column < pixels[:, :1])[:, None]
    points, scores = [], []
    for k in range(maps.shape[1]):
        enlarged = torch.where(inside, tall @ maps[:, k] @ wide, -torch.inf)
        score, position = enlarged.flatten(1).max(1)
        found = torch.stack([position % size[1], position // size[1]], 1)
        points.append((found + 0.5) * (sides / pixels) + rois[:, :2])
        scores.append(score)
    xy = torch.stack(points, 1)
    return torch.cat([xy, torch.ones_like(xy[..., :1])], 2), torch.stack(scores, 1)


def _bicubic(pixels: Tensor, size: Any, count: int) -> Tensor:
    """What each of ``pixels (n,)``, at most size, takes of an edge padded by 2: ``(n, size, c)``.

    Source: torch.nn.functional.interpolate, mode="bicubic", align_corners=False.
    """
    import torch

    at = torch.arange(size, device=pixels.device) + 0.5
    source = at * (count / pixels)[:, None] - 0.5
    d = (source[..., None] + 2 - torch.arange(count + 4, device=pixels.device)).abs()
    near = (1.25 * d - 2.25) * d * d + 1
    far = ((-0.75 * d + 3.75) * d - 6) * d + 3
    return torch.where(d < 1, near, torch.where(d < 2, far, 0))


def keypoints_of(x: Tensor, boxes: list[Tensor]) -> Any:
    """The keypoints and scores of each image, as lists."""
    import torch

    maps = torch.split(x, [b.shape[0] for b in boxes])
    found = [heatmaps_to_keypoints(m, b, _IMAGE.get()) for m, b in zip(maps, boxes, strict=True)]
    return [points for points, _ in found], [scores for _, scores in found]


def with_image_sizes(forward: Callable[..., Any]) -> Callable[..., Any]:
    """``RoIHeads.forward``, during which the size of the largest image is known."""

    @functools.wraps(forward)
    def remembering(
        self: Any, features: Any, proposals: Any, image_shapes: Any, targets: Any = None
    ) -> Any:
        token = _IMAGE.set(tuple(max(sizes) for sizes in zip(*image_shapes, strict=True)))
        try:
            return forward(self, features, proposals, image_shapes, targets)
        finally:
            _IMAGE.reset(token)

    return remembering
