"""YOLO v3, v5, v8 and v11, from their papers and published configurations, narrow or whole.

Images ``(N, 3, H, W)``, H and W multiples of 32, to all boxes with their scores, before any
suppression: ``(N, A, 5 + classes)`` of v3 and v5, ``(N, 4 + classes, A)`` of v8 and v11.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from tests.models.row import Row, image
from tests.models.yolo_blocks import C3, PSA, SPPF, Bottleneck, C2f, Conv
from tests.models.yolo_heads import AnchorHead, FreeHead

__all__ = ["REAL", "SMALL"]

Block = Callable[..., nn.Module]
"""``(channels, out, repeats, add=...)``: the block of a version."""


def _up(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


class Pyramid(nn.Module):
    """The backbone and the two-way pyramid of v5, v8 and v11: features of strides 8, 16 and 32."""

    def __init__(
        self,
        widths: tuple[int, ...],
        depth: int,
        block: Block,
        *,
        stem: int,
        lateral: bool,
        last: nn.Module,
    ) -> None:
        super().__init__()
        w0, w1, w2, w3, w4 = widths
        n = depth
        self.stem = nn.Sequential(
            Conv(3, w0, stem, 2), Conv(w0, w1, 3, 2), block(w1, w1, n), Conv(w1, w2, 3, 2)
        )
        self.c3 = block(w2, w2, 2 * n)
        self.c4 = nn.Sequential(Conv(w2, w3, 3, 2), block(w3, w3, 2 * n))
        self.c5 = nn.Sequential(Conv(w3, w4, 3, 2), block(w4, w4, n), SPPF(w4, w4), last)
        a, b = (w3, w2) if lateral else (w4, w3)
        self.lateral5 = Conv(w4, a) if lateral else nn.Identity()
        self.lateral4 = Conv(w3, b) if lateral else nn.Identity()
        self.up4, self.up3 = block(a + w3, w3, n, add=False), block(b + w2, w2, n, add=False)
        self.down3, self.down4 = Conv(w2, w2, 3, 2), Conv(w3, w3, 3, 2)
        self.out4, self.out5 = block(w2 + b, w3, n, add=False), block(w3 + a, w4, n, add=False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        p3 = self.c3(self.stem(x))
        p4 = self.c4(p3)
        p5 = self.lateral5(self.c5(p4))
        q4 = self.lateral4(self.up4(torch.cat((_up(p5), p4), 1)))
        q3 = self.up3(torch.cat((_up(q4), p3), 1))
        r4 = self.out4(torch.cat((self.down3(q3), q4), 1))
        return [q3, r4, self.out5(torch.cat((self.down4(r4), p5), 1))]


class Darknet(nn.Module):
    """Darknet-53 and v3's pyramid: residual stages, then from the top down."""

    def __init__(self, width: int, depths: tuple[int, ...]) -> None:
        super().__init__()
        leaky = nn.LeakyReLU(0.1)
        widths = [width * 2**i for i in range(6)]
        stages = [
            nn.Sequential(
                Conv(c, 2 * c, 3, 2, act=leaky),
                *(Bottleneck(2 * c, hidden=c) for _ in range(n)),
            )
            for c, n in zip(widths, depths, strict=False)
        ]
        self.stem = nn.Sequential(Conv(3, width, 3, act=leaky), *stages[:3])
        self.c4, self.c5 = stages[3:]
        _, _, _, c3, c4, c5 = widths
        self.top5 = self._neck(c5, c4)
        self.lateral5, self.lateral4 = Conv(c4, c4 // 2), Conv(c3, c3 // 2)
        self.top4 = self._neck(c4 + c4 // 2, c3)
        self.top3 = self._neck(c3 + c3 // 2, c3 // 2)
        self.heads = nn.ModuleList(Conv(c // 2, c, 3) for c in (c3, c4, c5))

    @staticmethod
    def _neck(c: int, out: int) -> nn.Module:
        rest = [m for _ in range(2) for m in (Conv(out, 2 * out, 3), Conv(2 * out, out))]
        return nn.Sequential(Conv(c, out), *rest)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        p3 = self.stem(x)
        p4 = self.c4(p3)
        q5 = self.top5(self.c5(p4))
        q4 = self.top4(torch.cat((_up(self.lateral5(q5)), p4), 1))
        q3 = self.top3(torch.cat((_up(self.lateral4(q4)), p3), 1))
        return [head(q) for head, q in zip(self.heads, (q3, q4, q5), strict=True)]


def v3(width: int, depths: tuple[int, ...], *, classes: int, dynamic: bool) -> nn.Module:
    """YOLOv3: Redmon and Farhadi, 2018."""
    channels = [width * 2**i for i in (3, 4, 5)]
    return nn.Sequential(
        Darknet(width, depths), AnchorHead(channels, classes, v3=True, dynamic=dynamic)
    )


def v5(widths: tuple[int, ...], depth: int, *, classes: int, dynamic: bool) -> nn.Module:
    """YOLOv5, release 6: cross-stage blocks with three convolutions."""
    pyramid = Pyramid(widths, depth, C3, stem=6, lateral=True, last=nn.Identity())
    return nn.Sequential(pyramid, AnchorHead(widths[2:], classes, v3=False, dynamic=dynamic))


def v8(widths: tuple[int, ...], depth: int, *, classes: int, dynamic: bool) -> nn.Module:
    """YOLOv8: without anchors."""
    pyramid = Pyramid(widths, depth, C2f, stem=3, lateral=False, last=nn.Identity())
    head = FreeHead(widths[2:], classes, separable=False, dynamic=dynamic)
    return nn.Sequential(pyramid, head)


def v11(widths: tuple[int, ...], depth: int, *, classes: int, dynamic: bool) -> nn.Module:
    """YOLO11: blocks within blocks, attention over the last map, depthwise heads."""

    def block(c: int, out: int, n: int, *, add: bool = True) -> nn.Module:
        return C2f(c, out, n, add=add, c3=out > widths[2])

    pyramid = Pyramid(widths, depth, block, stem=3, lateral=False, last=PSA(widths[4]))
    head = FreeHead(widths[2:], classes, separable=True, dynamic=dynamic)
    return nn.Sequential(pyramid, head)


NARROW = (8, 16, 16, 32, 32)
NANO = (16, 32, 64, 128, 256)
SIZED = (image("32*height", "32*width"),)


def _rows(make: Callable[..., nn.Module], small: tuple[object, ...]) -> dict[str, Row]:
    name = f"yolo_{make.__name__}"
    return {
        name: Row(make=lambda: make(*small, classes=5, dynamic=True), inputs=SIZED),
        f"{name}_fixed": Row(
            make=lambda: make(*small, classes=5, dynamic=False), inputs=(image(64),)
        ),
    }


SMALL: dict[str, Row] = {
    **_rows(v3, (4, (1, 1, 2, 2, 1))),
    **_rows(v5, (NARROW, 1)),
    **_rows(v8, (NARROW, 1)),
    **_rows(v11, (NARROW, 1)),
}
"""Narrow nets, by name: of any size of image, and with the anchors of one size kept."""

REAL: dict[str, Row] = {
    "yolo_v3": Row(
        make=lambda: v3(32, (1, 2, 8, 8, 4), classes=80, dynamic=False), inputs=(image(416),)
    ),
    "yolo_v5n": Row(make=lambda: v5(NANO, 1, classes=80, dynamic=False), inputs=(image(640),)),
    "yolo_v8n": Row(make=lambda: v8(NANO, 1, classes=80, dynamic=False), inputs=(image(640),)),
    "yolo_v11n": Row(make=lambda: v11(NANO, 1, classes=80, dynamic=False), inputs=(image(640),)),
}
"""The published nets for images of 416 and 640 pixels."""
