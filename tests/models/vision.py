"""torchvision's classifiers with seeded random weights."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.models.randomise import randomise

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height,"
    " SymInt pooled_width, int sampling_ratio, bool aligned) -> Tensor",
)


def _declare_operators() -> torch.library.Library | None:
    """Declare torchvision's operators where its own library does not load.

    torchvision registers fake implementations of them on import, which fails where they do not
    exist: with a build for CUDA on a machine without. The classifiers call none of them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("torchvision is not installed: make test installs it")
    for path in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(path)
        except OSError:
            break
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")
    for schema in _SCHEMAS:
        library.define(schema)
    return library


_LIBRARY = _declare_operators()  # its schemas go when it does

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # "Failed to load image Python extension"
    from torchvision import models

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
