"""The heads of YOLO v3, v5, v8 and v11: feature maps to boxes, decoded over three strides.

Grids and anchors are kept from call to call, as the published heads do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from tests.models.yolo_blocks import Conv

__all__ = ["AnchorHead", "FreeHead"]

STRIDES = (8, 16, 32)
ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


class AnchorHead(nn.Module):
    """v3's and v5's: three anchors a cell. Boxes are (x, y, w, h) in pixels, then the scores."""

    def __init__(self, channels: Sequence[int], classes: int, *, v3: bool, dynamic: bool) -> None:
        super().__init__()
        self.width, self.v3, self.dynamic = 5 + classes, v3, dynamic
        self.m = nn.ModuleList(nn.Conv2d(c, 3 * self.width, 1) for c in channels)
        self.register_buffer("anchors", torch.tensor(ANCHORS, dtype=torch.float32))
        self.grids: list[torch.Tensor] = [torch.empty(0)] * 3

    def grid(self, i: int, x: torch.Tensor) -> torch.Tensor:
        """Cells' corners, kept from call to call while the size stays the same."""
        h, w = x.shape[2:4]
        if self.dynamic or self.grids[i].shape[2:4] != (h, w):
            ys = torch.arange(h, device=x.device, dtype=x.dtype)
            xs = torch.arange(w, device=x.device, dtype=x.dtype)
            y, x = torch.meshgrid(ys, xs, indexing="ij")
            self.grids[i] = torch.stack((x, y), 2).expand(1, 3, h, w, 2)
        return self.grids[i]

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        found = []
        for i, (m, x) in enumerate(zip(self.m, features, strict=True)):
            n, _, h, w = x.shape
            y = m(x).view(n, 3, self.width, h, w).permute(0, 1, 3, 4, 2).contiguous()
            anchors = self.anchors[i].view(1, 3, 1, 1, 2)
            grid = self.grid(i, y.permute(0, 4, 2, 3, 1))
            if self.v3:
                xy, wh, scores = y.split((2, 2, self.width - 4), 4)
                xy, wh = (xy.sigmoid() + grid) * STRIDES[i], wh.clamp(max=4).exp() * anchors
            else:
                xy, wh, scores = y.sigmoid().split((2, 2, self.width - 4), 4)
                xy = (xy * 2 - 0.5 + grid) * STRIDES[i]
                wh, scores = (wh * 2) ** 2 * anchors, scores
            scores = scores.sigmoid() if self.v3 else scores
            found.append(torch.cat((xy, wh, scores), 4).view(n, 3 * h * w, self.width))
        return torch.cat(found, 1)


class FreeHead(nn.Module):
    """v8's and v11's: no anchors; distances to four sides as distributions over 16 bins."""

    bins = 16

    def __init__(
        self, channels: Sequence[int], classes: int, *, separable: bool, dynamic: bool
    ) -> None:
        super().__init__()
        self.classes = classes
        box, cls = max(16, channels[0] // 4, 64), max(channels[0], min(classes, 100))

        def thin(c: int, out: int) -> nn.Module:
            if not separable:
                return Conv(c, out, 3)
            return nn.Sequential(Conv(c, c, 3, groups=c), Conv(c, out))

        self.cv2 = nn.ModuleList(
            nn.Sequential(Conv(c, box, 3), Conv(box, box, 3), nn.Conv2d(box, 4 * self.bins, 1))
            for c in channels
        )
        self.cv3 = nn.ModuleList(
            nn.Sequential(thin(c, cls), thin(cls, cls), nn.Conv2d(cls, classes, 1))
            for c in channels
        )
        self.anchors = self.strides = torch.empty(0)
        self.shape: tuple[int, ...] | None = None
        self.dynamic = dynamic

    def make_anchors(self, features: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        points, strides = [], []
        for x, stride in zip(features, torch.tensor(STRIDES, dtype=torch.float32), strict=True):
            h, w = x.shape[2:]
            sx = torch.arange(end=w, device=x.device, dtype=x.dtype) + 0.5
            sy = torch.arange(end=h, device=x.device, dtype=x.dtype) + 0.5
            sy, sx = torch.meshgrid(sy, sx, indexing="ij")
            points.append(torch.stack((sx, sy), -1).view(-1, 2))
            strides.append(torch.full((h * w, 1), stride, dtype=x.dtype, device=x.device))
        return torch.cat(points), torch.cat(strides)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        n, shape = features[0].shape[0], features[0].shape
        rows = [
            torch.cat((a(x), b(x)), 1) for a, b, x in zip(self.cv2, self.cv3, features, strict=True)
        ]
        if self.dynamic or self.shape != shape:
            self.anchors, self.strides = (x.transpose(0, 1) for x in self.make_anchors(features))
            self.shape = shape
        x = torch.cat([r.view(n, 4 * self.bins + self.classes, -1) for r in rows], 2)
        box, cls = x.split((4 * self.bins, self.classes), 1)
        bins = torch.arange(self.bins, dtype=box.dtype, device=box.device)
        weights = box.view(n, 4, self.bins, -1).transpose(2, 1).softmax(1)
        near, far = F.conv2d(weights, bins.view(1, self.bins, 1, 1)).view(n, 4, -1).chunk(2, 1)
        low, high = self.anchors.unsqueeze(0) - near, self.anchors.unsqueeze(0) + far
        boxes = torch.cat(((low + high) / 2, high - low), 1) * self.strides
        return torch.cat((boxes, cls.sigmoid()), 1)
