"""Rows of NMS: plain loops over Python's own numbers say which boxes stay."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, f32
from tests.cases.ir.nonzero import ALONE
from trtdsl.ir.nms import NMS


def boxes(*shape: int, seed: int = 0) -> torch.Tensor:
    """Boxes of sides 0.2 to 1.2 in a square of 3, many of which overlap."""
    corners = f32(*shape, 2, seed=seed, low=0, high=3)
    return torch.cat([corners, corners + f32(*shape, 2, seed=seed + 1, low=0.2, high=1.2)], -1)


def overlap(a: list[float], b: list[float]) -> float:
    shared = 1.0
    for low in (0, 1):
        shared *= max(min(a[low + 2], b[low + 2]) - max(a[low], b[low]), 0)
    areas = [(x[2] - x[0]) * (x[3] - x[1]) for x in (a, b)]
    return shared / (sum(areas) - shared)


def reference(threshold: float, most: int):  # type: ignore[no-untyped-def]
    def stay(corners: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        rows: list[list[int]] = []
        for image in range(len(corners)):
            found = []
            for c in range(scores.shape[2]):
                column = scores[image, :, c].tolist()
                kept: list[int] = []
                for i in sorted(range(len(column)), key=lambda i: -column[i]):
                    box = corners[image, i].tolist()
                    others = [corners[image, k].tolist() for k in kept]
                    if len(kept) < most and all(overlap(box, o) <= threshold for o in others):
                        kept.append(i)
                found += [(-column[i], [image, c, i]) for i in kept]
            rows += [row for _, row in sorted(found)]
        return torch.tensor(rows, dtype=torch.int32)

    return stay


def row(
    b: int, n: int, c: int, threshold: float, *, most: int = 5000, scores: torch.Tensor
) -> LayerCase:
    inputs = boxes(b, n), scores.reshape(b, n, c)
    stay = reference(threshold, most)
    layer = NMS(count=len(stay(*inputs)), iou_threshold=threshold, max_output_boxes_per_class=most)
    return LayerCase(layer, inputs, stay, gpu=ALONE)


CASES = [
    row(1, 30, 1, 0.3, scores=f32(30)),
    row(1, 30, 1, 0.0, scores=f32(30, low=0)),
    row(2, 20, 3, 0.5, scores=f32(2, 20, 3)),
    row(1, 20, 2, 0.2, most=3, scores=f32(40)),
]
