"""Rows of torchvision's operators on boxes; loops in plain Python say what is right."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, f32
from tests.cases.ir.nms import boxes
from tests.cases.ir.nonzero import ALONE
from tests.models import vision_operators

assert vision_operators.SCHEMAS, "the operators are declared"
ops = torch.ops.torchvision


def regions(count: int, images: int, size: float, *, seed: int = 0) -> torch.Tensor:
    """Regions of images of a size, some of them beyond its edges and one of no size."""
    image = torch.arange(count).remainder(images).float()[:, None]
    corners = f32(count, 2, seed=seed, low=-0.3, high=0.8) * size
    sides = f32(count, 2, seed=seed + 1, low=0.1, high=1.1) * size
    sides[0] = 0.01
    return torch.cat([image, corners, corners + sides], 1)


def aligned(x: torch.Tensor, rois: torch.Tensor, *rest: Any, **options: Any) -> Case:
    return Case(ops.roi_align.default, x, rois, *rest, **options)


def own(operator: Any, *args: Any, **options: Any) -> Case:
    """Of two results the first: the other is for gradients."""

    def first(*values: Any) -> torch.Tensor:
        return operator(*values)[0]

    first.__name__ = str(operator)
    return Case(first, *args, **options)


def deformed(
    groups: int = 1,
    offset_groups: int = 1,
    *,
    mask: bool = False,
    stride: tuple[int, int] = (1, 1),
    pad: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
    size: tuple[int, int] = (5, 6),
    **options: Any,
) -> Case:
    out = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, s, k in zip(size, pad, dilation, stride, (3, 2), strict=True)
    ]
    offset = f32(2, offset_groups * 12, *out) * 1.5
    masks = f32(2, offset_groups * 6, *out, low=0) if mask else torch.zeros(2, 1)
    weight = f32(4, 4 // groups, 3, 2)
    numbers = (*stride, *pad, *dilation, groups, offset_groups, mask)
    x = f32(2, 4, *size)
    args = (x, weight, offset, masks, f32(4), *numbers)
    return Case(ops.deform_conv2d.default, *args, constants=(1, 4), **options)


N = {(0, 0): "n", (1, 0): "n"}
CASES = [
    Case(ops.nms.default, boxes(30), f32(30), 0.3, gpu=ALONE, dynamic=N),
    Case(ops.nms.default, boxes(30), f32(30, low=0), 0.0, gpu=ALONE),
    Case(ops.nms.default, boxes(1) * 100, f32(1), 1.0, gpu=ALONE),
    Case(ops.nms.default, boxes(5001), f32(5001), 0.5, gpu=ALONE),
    aligned(f32(1, 2, 7, 9), regions(4, 1, 8), 1.0, 3, 2, 2, False, dynamic={(1, 0): "k"}),
    aligned(f32(2, 2, 7, 9), regions(5, 2, 16), 0.5, 2, 3, 2, True, dynamic={(0, 0): "n"}),
    aligned(f32(2, 2, 7, 6), regions(5, 2, 8), 1.0, 2, 2, -1, False),
    aligned(f32(2, 2, 7, 6), regions(6, 2, 9), 1.0, 3, 2, -1, True),
    aligned(f32(1, 1, 9, 9), regions(6, 1, 60), 1.0, 2, 1, 0, True),
    aligned(f32(1, 2, 1, 6), regions(4, 1, 4), 1.0, 2, 2, 3, True),
    aligned(
        f32(2, 2, 7, 9), regions(4, 2, 8), 1.0, 2, 2, 2, True, dynamic={(0, 2): "h", (0, 3): "w"}
    ),
    own(ops.roi_pool.default, f32(2, 3, 7, 9), regions(5, 2, 8), 1.0, 3, 2),
    own(ops.roi_pool.default, f32(1, 2, 6, 6), regions(4, 1, 20), 0.25, 2, 4),
    own(ops.ps_roi_align.default, f32(2, 12, 7, 9), regions(5, 2, 8), 1.0, 3, 2, 2),
    own(ops.ps_roi_align.default, f32(1, 8, 6, 6), regions(4, 1, 20), 0.25, 2, 2, -1),
    own(ops.ps_roi_pool.default, f32(2, 12, 7, 9), regions(5, 2, 8), 1.0, 3, 2),
    own(ops.ps_roi_pool.default, f32(1, 8, 6, 6), regions(4, 1, 20), 0.25, 2, 2),
    deformed(),
    deformed(2, 2, mask=True, stride=(2, 1), dilation=(1, 2)),
    deformed(1, 4, mask=True, pad=(0, 2)),
    deformed(4, 2, size=(7, 5), stride=(1, 2)),
    deformed(mask=True, dynamic={(0, 0): "n", (1, 0): "n", (2, 0): "n"}),
]
