"""torchvision's Mask R-CNN and Keypoint R-CNN, narrow, over one map of features."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.models.vision import models

__all__ = ["keypoint_rcnn", "mask_rcnn"]

detection = models.detection
WIDTH = 16


class _Backbone(nn.Module):
    """A map at an eighth of the image's size, which the heads call 0."""

    def __init__(self) -> None:
        super().__init__()
        self.out_channels = WIDTH
        self.body = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in ((3, 8), (8, 16), (16, WIDTH))
            )
        )

    def forward(self, x: torch.Tensor) -> OrderedDict[str, torch.Tensor]:
        return OrderedDict({"0": self.body(x)})


def _made(name: str, size: int, **heads: Any) -> nn.Module:
    return getattr(detection, name)(
        _Backbone(),
        min_size=size,
        max_size=size,
        rpn_anchor_generator=detection.anchor_utils.AnchorGenerator(((16, 32),), ((0.5, 1.0),)),
        rpn_pre_nms_top_n_test=40,
        rpn_post_nms_top_n_test=20,
        box_roi_pool=_pool(7),
        box_head=detection.faster_rcnn.TwoMLPHead(WIDTH * 49, 32),
        box_predictor=detection.faster_rcnn.FastRCNNPredictor(32, 3),
        box_detections_per_img=6,
        **heads,
    )


def _pool(pixels: int) -> nn.Module:
    pool: nn.Module = importlib.import_module("torchvision.ops").MultiScaleRoIAlign(
        ["0"], pixels, sampling_ratio=2
    )
    return pool


def mask_rcnn(size: int) -> Callable[[], nn.Module]:
    """What makes a Mask R-CNN for images of ``size`` pixels."""
    heads = detection.mask_rcnn
    return lambda: _made(
        "MaskRCNN",
        size,
        mask_roi_pool=_pool(14),
        mask_head=heads.MaskRCNNHeads(WIDTH, (16,), 1),
        mask_predictor=heads.MaskRCNNPredictor(16, 16, 3),
    )


def keypoint_rcnn(size: int) -> Callable[[], nn.Module]:
    """What makes a Keypoint R-CNN of three points for images of ``size`` pixels."""
    heads = detection.keypoint_rcnn
    return lambda: _made(
        "KeypointRCNN",
        size,
        keypoint_roi_pool=_pool(14),
        keypoint_head=heads.KeypointRCNNHeads(WIDTH, (16,)),
        keypoint_predictor=heads.KeypointRCNNPredictor(16, 3),
    )
