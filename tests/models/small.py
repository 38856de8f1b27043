"""Hand-written models of the forms that torchvision's classifiers lack."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from tests.models.randomise import randomise

Built = tuple[nn.Module, tuple[Any, ...]]


def _double(channels: int, out: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for width in (channels, out):
        layers += [nn.Conv2d(width, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """U-Net: ``(N, 3, H, W)`` to ``(N, 2, H, W)``, H and W multiples of 8.

    The decoder enlarges with transposed convolutions, or with bilinear interpolation.
    """

    def __init__(self, *, bilinear: bool, widths: tuple[int, ...] = (16, 32, 64, 128)) -> None:
        super().__init__()
        pairs = list(pairwise(widths))
        self.stem = _double(3, widths[0])
        self.down = nn.ModuleList(_double(a, b) for a, b in pairs)
        self.up = nn.ModuleList(
            nn.Conv2d(b, a, 1) if bilinear else nn.ConvTranspose2d(b, a, 2, stride=2)
            for a, b in reversed(pairs)
        )
        self.merge = nn.ModuleList(_double(2 * a, a) for a, _ in reversed(pairs))
        self.head = nn.Conv2d(widths[0], 2, 1)
        self.bilinear = bilinear

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        skips = []
        for down in self.down:
            skips.append(x)
            x = down(F.max_pool2d(x, 2))
        for up, merge, skip in zip(self.up, self.merge, reversed(skips), strict=True):
            if self.bilinear:
                x = F.interpolate(x, size=skip.shape[2:], mode="bilinear", align_corners=False)
            x = merge(torch.cat([skip, up(x)], 1))
        return self.head(x)


class Generator(nn.Module):
    """DCGAN's generator: ``(N, 100, 1, 1)`` to ``(N, 3, 64, 64)`` in -1..1."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        widths = [100, 8 * width, 4 * width, 2 * width, width]
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise(widths)):
            stride, padding = (2, 1) if i else (1, 0)
            layers += [nn.ConvTranspose2d(a, b, 4, stride, padding, bias=False)]
            layers += [nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.main(z)


class DictMLP(nn.Module):
    """An MLP with a dict in, ``user (N, 16)`` and ``item (N, 24)``, and a nested dict out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(40, 64), nn.GELU(), nn.LayerNorm(64), nn.Linear(64, 32))
        self.score = nn.Linear(32, 1)
        self.classes = nn.Linear(32, 10)

    def forward(self, features: dict[str, torch.Tensor]) -> dict[str, Any]:
        hidden = F.silu(self.body(torch.cat([features["user"], features["item"]], -1)))
        logits = self.classes(hidden)
        return {
            "score": torch.sigmoid(self.score(hidden)).squeeze(-1),
            "classes": {"logits": logits, "best": logits.argmax(-1)},
        }


class VideoNet(nn.Module):
    """A 3-D CNN: clips ``(N, 3, T, H, W)`` to ``(N, 10)``."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(3, 16, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False),
            nn.BatchNorm3d(16),
            nn.ReLU(),
            nn.MaxPool3d((1, 2, 2)),
            nn.Conv3d(16, 32, 3, padding=1, groups=2),
            nn.BatchNorm3d(32),
            nn.LeakyReLU(0.1),
            nn.AvgPool3d(2),
            nn.Conv3d(32, 64, 3, padding=2, dilation=2),
            nn.BatchNorm3d(64),
            nn.ELU(),
            nn.AdaptiveAvgPool3d(1),
        )
        self.head = nn.Linear(64, 10)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(clip).flatten(1))


def _builder(make: Callable[[], nn.Module], inputs: Callable[[], Any]) -> Callable[[], Built]:
    def build() -> Built:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, given = make(), (inputs(),)
        return randomise(model, given), given

    return build


MODELS: dict[str, Callable[[], Built]] = {
    "unet_transposed": _builder(lambda: UNet(bilinear=False), lambda: torch.randn(1, 3, 224, 224)),
    "unet_bilinear": _builder(lambda: UNet(bilinear=True), lambda: torch.randn(1, 3, 224, 224)),
    "dcgan_generator": _builder(Generator, lambda: torch.randn(2, 100, 1, 1)),
    "dict_mlp": _builder(DictMLP, lambda: {"user": torch.randn(8, 16), "item": torch.randn(8, 24)}),
    "video_net": _builder(VideoNet, lambda: torch.randn(1, 3, 16, 56, 56)),
}
"""Name to a function that makes the model, in eval mode, and its example inputs."""
