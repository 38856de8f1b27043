"""Masks and keypoints of torchvision's detectors, for all regions at once."""

from __future__ import annotations

import importlib

import pytest
import torch

from tests.models import vision_operators
from trtdsl.export.torchvision_regions import heatmaps_to_keypoints, paste_masks_in_image

assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"
pytest.importorskip("torchvision")
heads = importlib.import_module("torchvision.models.detection.roi_heads")
HEIGHT, WIDTH = 41, 57


def regions(count: int, seed: int = 0) -> torch.Tensor:
    """Boxes inside the image, some of them of no size and some as large as it."""
    generator = torch.Generator().manual_seed(seed)
    ends = torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT])
    corners = torch.rand(count, 4, generator=generator) * ends
    corners[:, 2:] = torch.maximum(corners[:, :2], corners[:, 2:])
    corners[1:2], corners[2:3, 2:] = torch.tensor([0, 0, WIDTH, HEIGHT]), corners[2:3, :2]
    return corners


@pytest.mark.parametrize("count", [0, 1, 30])
def test_masks_are_pasted_as_one_by_one(count: int) -> None:
    boxes = regions(count)
    masks = torch.rand(count, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    expected = heads.paste_masks_in_image(masks, boxes, (HEIGHT, WIDTH))
    pasted = paste_masks_in_image(masks, boxes, (HEIGHT, WIDTH))
    assert (pasted.shape, pasted.dtype) == (expected.shape, expected.dtype)
    torch.testing.assert_close(pasted, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("count", [0, 1, 30])
def test_keypoints_are_found_as_one_by_one(count: int) -> None:
    boxes = regions(count)
    maps = torch.randn(count, 3, 56, 56, generator=torch.Generator().manual_seed(1))
    points, scores = heads.heatmaps_to_keypoints(maps, boxes)
    found, best = heatmaps_to_keypoints(maps, boxes, (HEIGHT, WIDTH))
    torch.testing.assert_close(found, points, atol=1e-4, rtol=0)
    torch.testing.assert_close(best, scores, atol=1e-4, rtol=0)
