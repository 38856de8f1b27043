"""Scenes of coloured shapes, and how a YOLOv3 learns to find them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from net import YOLOv3
from torchvision.ops import box_convert

NAMES = ("red rectangle", "green ellipse", "blue triangle")


def scene(size: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """An image ``(3, size, size)`` of one to three shapes, their boxes ``(n, 4)`` and classes."""

    def uniform(low: float, high: float, *shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator) * (high - low) + low

    ys, xs = torch.meshgrid(torch.arange(size) + 0.5, torch.arange(size) + 0.5, indexing="ij")
    image = uniform(0, 0.3, 3, 1, 1) + uniform(0, 0.1, 3, size, size)
    boxes, classes = [], []
    # A third of the width for each, so that none hides another.
    for third in torch.randperm(3, generator=generator)[: int(uniform(1, 4))].tolist():
        w, h = (uniform(size / 8, size / 3.2) for _ in range(2))
        left, top = third * size / 3 + uniform(0, 1) * (size / 3 - w), uniform(0, 1) * (size - h)
        kind = int(uniform(0, 3))
        u, v = (xs - left) / w * 2 - 1, (ys - top) / h * 2 - 1
        inside = (u.abs() <= 1) & (v.abs() <= 1)
        if kind == 1:
            inside = u**2 + v**2 <= 1
        elif kind == 2:
            inside &= u.abs() <= (v + 1) / 2
        colour = uniform(0, 0.3, 3, 1, 1)
        colour[kind] = uniform(0.6, 1)
        image = torch.where(inside, colour, image)
        boxes.append(torch.stack((left, top, left + w, top + h)))
        classes.append(kind)
    return image, torch.stack(boxes), torch.tensor(classes)


def loss(
    net: YOLOv3, images: torch.Tensor, truth: list[tuple[torch.Tensor, torch.Tensor]]
) -> torch.Tensor:
    """The paper's: an object belongs to the anchor most like it; its like in the cell go free."""
    raw = net.raw(images)
    is_object, counts = torch.zeros(raw.shape[:2]), torch.ones(raw.shape[:2])
    total = raw.new_zeros(())
    for n, (boxes, classes) in enumerate(truth):
        centre, size = box_convert(boxes, "xyxy", "cxcywh").split(2, 1)
        common = torch.minimum(size[:, None], net.anchors).prod(2)
        likeness = common / (size.prod(1)[:, None] + net.anchors.prod(1) - common)
        here = (centre[:, None] / net.strides).floor() == net.cells
        here = here.all(2)
        own = likeness.where(here, -1).argmax(1)
        counts[n, (here & (likeness > 0.4)).any(0)] = 0
        is_object[n, own] = counts[n, own] = 1
        place, extent, _, scores = raw[n, own].split((2, 2, 1, raw.shape[2] - 5), 1)
        target = centre / net.strides[own] - net.cells[own]
        total = total + F.binary_cross_entropy_with_logits(place, target, reduction="sum")
        total = total + F.mse_loss(extent, (size / net.anchors[own]).log(), reduction="sum")
        one_hot = F.one_hot(classes, scores.shape[1]).float()
        total = total + F.binary_cross_entropy_with_logits(scores, one_hot, reduction="sum")
    found = F.binary_cross_entropy_with_logits(raw[..., 4], is_object, counts, reduction="sum")
    return (total + found) / len(images)


def train(net: YOLOv3, *, steps: int, batch: int = 8) -> None:
    """Learn from new scenes, of a fixed seed; the net is left in eval mode."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 2e-3, total_steps=steps, pct_start=0.15
    )
    net.train()
    for _ in range(steps):
        scenes = [scene(net.size, generator) for _ in range(batch)]
        images = torch.stack([image for image, _, _ in scenes])
        value = loss(net, images, [(boxes, classes) for _, boxes, classes in scenes])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
    net.eval()
