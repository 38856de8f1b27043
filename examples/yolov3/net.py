"""YOLOv3 (Redmon and Farhadi, 2018): Darknet-53, three heads, boxes and scores, suppression.

The convolutions stand in the order of Darknet's ``yolov3.cfg``, so that its weights can be read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import batched_nms, box_convert

STRIDES = (32, 16, 8)
ANCHORS = (  # (width, height) in an image of 416 pixels, three for each stride
    ((116, 90), (156, 198), (373, 326)),
    ((30, 61), (62, 45), (59, 119)),
    ((10, 13), (16, 30), (33, 23)),
)


class Conv(nn.Sequential):
    """A convolution, its batch norm and a leaky ReLU: ``(N, C, H, W) -> (N, out, H', W')``."""

    def __init__(self, c: int, out: int, kernel: int, stride: int = 1) -> None:
        convolution = nn.Conv2d(c, out, kernel, stride, kernel // 2, bias=False)
        super().__init__(convolution, nn.BatchNorm2d(out), nn.LeakyReLU(0.1))


class Residual(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.narrow, self.wide = Conv(c, c // 2, 1), Conv(c // 2, c, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.wide(self.narrow(x))


class Head(nn.Module):
    """Five convolutions, and two more for ``(N, 3 * H * W, outputs)``: three boxes a cell."""

    def __init__(self, c: int, width: int, outputs: int) -> None:
        super().__init__()
        kernels = (1, 3, 1, 3, 1)
        channels = [c, *(width * k for k in (1, 2, 1, 2, 1))]
        pairs = zip(channels, channels[1:], kernels, strict=False)
        self.neck = nn.Sequential(*(Conv(a, b, k) for a, b, k in pairs))
        self.wide, self.out = Conv(width, 2 * width, 3), nn.Conv2d(2 * width, 3 * outputs, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.neck(x)
        y = self.out(self.wide(x))
        n, _, h, w = y.shape
        return x, y.view(n, 3, -1, h * w).transpose(2, 3).reshape(n, 3 * h * w, -1)


class YOLOv3(nn.Module):
    """Images ``(N, 3, size, size)``, 0 to 1, to boxes ``(N, A, 4)`` and scores ``(N, A, classes)``.

    Boxes are ``(left, top, right, bottom)`` in pixels; ``size`` is a multiple of 32. The published
    net has 32 channels in its first convolution and 1, 2, 8, 8 and 4 blocks in its stages.
    """

    def __init__(
        self,
        classes: int = 80,
        size: int = 416,
        width: int = 32,
        blocks: tuple[int, ...] = (1, 2, 8, 8, 4),
    ) -> None:
        super().__init__()
        self.classes, self.size, c = classes, size, [width * 2**i for i in range(6)]
        stages = [
            nn.Sequential(Conv(a, b, 3, 2), *(Residual(b) for _ in range(n)))
            for a, b, n in zip(c, c[1:], blocks, strict=False)
        ]
        self.stem = nn.Sequential(Conv(3, width, 3), *stages[:3])
        self.stage4, self.stage5 = stages[3:]
        self.head5 = Head(c[5], c[4], 5 + classes)
        self.up5, self.head4 = Conv(c[4], c[3], 1), Head(c[4] + c[3], c[3], 5 + classes)
        self.up4, self.head3 = Conv(c[3], c[2], 1), Head(c[3] + c[2], c[2], 5 + classes)
        for name, prior in zip(("cells", "strides", "anchors"), priors(size), strict=True):
            self.register_buffer(name, prior, persistent=False)

    def raw(self, x: torch.Tensor) -> torch.Tensor:
        """What the heads say: ``(N, A, 5 + classes)``: x, y, width, height, object, classes."""
        p3 = self.stem(x)
        p4 = self.stage4(p3)
        q5, y5 = self.head5(self.stage5(p4))
        q4, y4 = self.head4(torch.cat((F.interpolate(self.up5(q5), scale_factor=2.0), p4), 1))
        _, y3 = self.head3(torch.cat((F.interpolate(self.up4(q4), scale_factor=2.0), p3), 1))
        return torch.cat((y5, y4, y3), 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        place, size, found, classes = self.raw(x).split((2, 2, 1, self.classes), 2)
        centre = (place.sigmoid() + self.cells) * self.strides
        boxes = box_convert(torch.cat((centre, size.exp() * self.anchors), 2), "cxcywh", "xyxy")
        return boxes, found.sigmoid() * classes.sigmoid()


class Detector(nn.Module):
    """One image to what is in it: boxes ``(n, 4)``, scores ``(n,)``, labels ``(n,)``, best first.

    Suppression is part of the model, and so of its engine: ``n`` is for the values to decide.
    """

    most = 1000  # boxes that suppression considers

    def __init__(self, net: YOLOv3, *, score: float = 0.5, iou: float = 0.45) -> None:
        super().__init__()
        self.net, self.score, self.iou = net, score, iou

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        boxes, scores = self.net(image)
        best, labels = scores[0].max(1)
        best, order = best.topk(min(self.most, best.shape[0]))
        sure = best > self.score
        best, order = best[sure], order[sure]
        boxes, labels = boxes[0, order], labels[order]
        kept = batched_nms(boxes, best, labels, self.iou)
        return boxes[kept], best[kept], labels[kept]


def priors(size: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of each box in ``raw``'s order: cell ``(A, 2)``, stride ``(A, 1)`` and anchor ``(A, 2)``."""
    cells, strides, anchors = [], [], []
    for stride, three in zip(STRIDES, ANCHORS, strict=True):
        n = size // stride
        row, column = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
        cells.append(torch.stack((column, row), 2).reshape(-1, 2).repeat(3, 1))
        strides.append(torch.full((3 * n * n, 1), float(stride)))
        anchors.append(torch.tensor(three).repeat_interleave(n * n, 0) * (size / 416))
    return torch.cat(cells).float(), torch.cat(strides), torch.cat(anchors)


@torch.no_grad()
def read_weights(net: YOLOv3, path: str | Path) -> None:
    """Fill a net from a file of Darknet's. Errors: ValueError where it is of another net.

    The file: three int32 of a version, a count of images, and then float32: of each convolution its
    batch norm's bias, weight, mean and variance, or else its own bias, and then its kernels.
    """
    content = Path(path).read_bytes()
    major, minor = np.frombuffer(content, np.int32, 2)
    start = 20 if 10 * major + minor >= 2 else 16  # the count has taken 8 bytes since version 0.2
    numbers = torch.from_numpy(np.frombuffer(content[start:], np.float32).copy())
    tensors = darknet_order(net)
    if (count := sum(x.numel() for x in tensors)) != len(numbers):
        raise ValueError(f"{path} holds {len(numbers)} numbers, and the net {count}")
    for tensor, part in zip(tensors, numbers.split([x.numel() for x in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))


def darknet_order(net: YOLOv3) -> list[torch.Tensor]:
    """The weights as a file of Darknet's has them."""
    tensors: list[torch.Tensor] = []
    modules = [m for m in net.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d)]
    for module, after in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, nn.BatchNorm2d):
            continue
        if isinstance(after, nn.BatchNorm2d):
            tensors += [after.bias, after.weight, after.running_mean, after.running_var]
        else:
            tensors.append(module.bias)
        tensors.append(module.weight)
    return tensors
