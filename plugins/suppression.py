"""Suppression of any number of boxes; TensorRT's own layer considers 5000, and is slower.

``trtdsl.layers.detection`` takes TensorRT's NMS layer for up to 5000 boxes, and this for more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.gather import Gather
from trtdsl.ir.nms import greedy
from trtdsl.ir.plugin import Plugin
from trtdsl.layers.data_dependent import indices_of
from trtdsl.network import Tensor
from trtdsl.types import DType, TensorType

from .threads import per_element

__all__ = ["CONVERTERS", "Suppression", "nms"]

_TILE = 4096
"""So many boxes of the order are settled at once: 64 words of 64 bits, a thread a word."""


@dataclass(frozen=True, kw_only=True)
class Suppression(Plugin, kernel="suppression.cu"):
    """Which boxes stay: those that no one that stays, with a higher score, overlaps too much.

    Inputs: boxes float32 ``(n, 4)``, each ``(x1, y1, x2, y2)``, and scores float32 ``(n,)``.
    Outputs: int32 ``(n,)``, the boxes by decreasing score, equal ones in their order; and int32
    ``(n,)``, 1 for each of that order that stays, and 0. A box goes when its intersection with one
    that stays is more than ``iou_threshold`` of their union. Exact, for any number of boxes.
    Errors: ShapeError. Source: torchvision's nms.
    """

    chooses_boxes: ClassVar[bool] = True

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
        return 8 * _TILE * _TILE // 64

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
        steps = [per_element("place", count, scores, order, kept)]
        for start in range(0, count, _TILE):
            size, behind = min(_TILE, count - start), count - start - _TILE
            words = -(-size // 64)
            place = (start, size, words)
            pairs = (boxes, order, kept, workspace, limit, *place)
            steps.append(per_element("compare", size * words, *pairs))
            args = (workspace, kept, *place)
            steps.append(Launch(kernel="settle", grid=1, block=64, args=args))
            if behind > 0:
                steps.append(per_element("spread", behind, boxes, order, kept, limit, start, size))
        return tuple(steps)


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """As the converter of ``trtdsl.layers``, by the plugin for any number of boxes."""
    boxes, table = (x.cast(DType.FLOAT32) for x in (dets, scores))
    order, kept = Suppression(iou_threshold=iou_threshold).outputs(boxes, table)
    (places,) = indices_of(kept)
    return Gather(axis=0)(order, places).cast(DType.INT64)


CONVERTERS = {"torchvision::nms": nms}
