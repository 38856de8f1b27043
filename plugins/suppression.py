"""Suppression of boxes of which there are more than TensorRT's own layer considers.

``trtdsl.layers.detection`` takes TensorRT's NMS layer for up to 5000 boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.nms import greedy
from trtdsl.ir.plugin import Plugin
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["Suppression"]

_GROUP = 64
"""So many boxes of the order are settled at once, as a word has bits."""


@dataclass(frozen=True, kw_only=True)
class Suppression(Plugin, kernel="suppression.cu"):
    """Which boxes stay: those that no one that stays, with a higher score, overlaps too much.

    Inputs: boxes float32 ``(n, 4)``, each ``(x1, y1, x2, y2)``, and scores float32 ``(n,)``.
    Outputs: int32 ``(n,)``, the boxes by decreasing score, equal ones in their order; and int32
    ``(n,)``, 1 for each of that order that stays, and 0. A box goes when its intersection with one
    that stays is more than ``iou_threshold`` of their union. Exact, for any number of boxes.
    Errors: ShapeError. Source: torchvision's nms.
    """

    iou_threshold: float

    def infer(self, boxes: TensorType, scores: TensorType) -> tuple[TensorType, TensorType]:
        self.require(boxes.dtype is DType.FLOAT32, f"takes float32, not {boxes}")
        self.require(scores.dtype is DType.FLOAT32, f"takes float32, not {scores}")
        fits = boxes.rank == 2 and boxes.shape[1] == 4 and scores.rank == 1
        self.require(fits, f"takes (n, 4) and (n,), not {boxes} and {scores}")
        places = scores.with_dtype(DType.INT32)
        return places, places

    def evaluate(
        self, boxes: torch.Tensor, scores: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        order = scores.argsort(descending=True, stable=True)
        kept = torch.zeros_like(order)
        kept[greedy(boxes[order], self.iou_threshold)] = 1
        return order.int(), kept.int()

    def workspace(self, boxes: TensorType, scores: TensorType) -> int:
        return int(8 * scores.volume)

    def launch(
        self,
        boxes: Buffer,
        scores: Buffer,
        order: Buffer,
        kept: Buffer,
        *,
        workspace: Buffer | None,
    ) -> tuple[Launch, ...]:
        count, limit = scores.volume, self.iou_threshold
        steps = [
            per_element("place", count, scores, order, kept),
            per_element("compare", count, boxes, order, workspace, limit),
        ]
        for start in range(0, count, _GROUP):
            size, behind = min(_GROUP, count - start), count - start - _GROUP
            args = (workspace, kept, start, size)
            steps.append(Launch(kernel="settle", grid=1, block=1, args=args))
            if behind > 0:
                steps.append(per_element("spread", behind, boxes, order, kept, limit, start))
        return tuple(steps)
