"""torchvision's classifiers with seeded random weights."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tests.models import vision_operators
from tests.models.randomise import randomise

assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "Failed to load image Python extension"
    from torchvision import extension, models

if vision_operators.LIBRARY is not None:
    extension._has_ops = lambda: True  # the operators are there, without torchvision's library

Built = tuple[nn.Module, tuple[torch.Tensor, ...]]


def _builder(make: Callable[..., nn.Module], size: int = 224, **kwargs: Any) -> Callable[[], Built]:
    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            inputs = (torch.randn(1, 3, size, size),)
            model = make(weights=None, **kwargs)
        return randomise(model, inputs), inputs

    return build


MODELS: dict[str, Callable[[], Built]] = {
    "resnet18": _builder(models.resnet18),
    "resnet50": _builder(models.resnet50),
    "vgg11_bn": _builder(models.vgg11_bn),
    "densenet121": _builder(models.densenet121),
    "squeezenet1_1": _builder(models.squeezenet1_1),
    "mobilenet_v2": _builder(models.mobilenet_v2),
    "mobilenet_v3_large": _builder(models.mobilenet_v3_large),
    "shufflenet_v2_x1_0": _builder(models.shufflenet_v2_x1_0),
    "efficientnet_b0": _builder(models.efficientnet_b0),
    "regnet_y_400mf": _builder(models.regnet_y_400mf),
    "convnext_tiny": _builder(models.convnext_tiny),
    "inception_v3": _builder(models.inception_v3, size=299, init_weights=True),
}
"""Name to a function that makes the model, in eval mode, and one example input ``(1, 3, H, W)``."""


def detector(name: str, size: int, **changes: Any) -> Callable[[], nn.Module]:
    """What makes a detector that keeps images at ``size`` pixels, and gives its ten best boxes.

    Of more, some have scores so close that rounding decides on their order.
    """
    sizes = {} if name.startswith("ssd") else {"min_size": size, "max_size": size}
    most = "box_detections_per_img" if "rcnn" in name else "detections_per_img"

    def make() -> nn.Module:
        return getattr(models.detection, name)(
            weights=None, weights_backbone=None, num_classes=5, **{most: 10}, **sizes, **changes
        )

    return make


def segmenter(name: str) -> Callable[[], nn.Module]:
    """What makes a net that gives classes to pixels."""
    return lambda: getattr(models.segmentation, name)(
        weights=None, weights_backbone=None, num_classes=5
    )


def video(name: str) -> Callable[[], nn.Module]:
    """What makes a net for clips."""
    return lambda: getattr(models.video, name)(weights=None, num_classes=5)


def flow(name: str) -> Callable[[], nn.Module]:
    """What makes a net for optical flow."""
    return lambda: getattr(models.optical_flow, name)(weights=None)
