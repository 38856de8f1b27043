"""``NMS``: of boxes that overlap, the ones with the highest scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import Dim, DType, TensorType, is_static, symbols

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["MOST_BOXES", "NMS", "greedy"]

MOST_BOXES = 5000
"""TensorRT considers so many boxes of an image, those of the highest scores. Source: INMSLayer."""


@dataclass(frozen=True, kw_only=True)
class NMS(Layer):
    """Boxes of which none overlaps one of its class with a higher score, by decreasing score.

    Inputs: boxes float32 ``(B, N, 4)``, each ``(x1, y1, x2, y2)``, and scores ``(B, N, C)``.
    Output: int32 ``(count, 3)``, rows of image, class and box, image by image. A box goes when its
    intersection with one that stays is more than ``iou_threshold`` of their union. ``count`` is the
    symbol that stands for the number of rows, of ``Network.unknown``. The order of equal scores is
    TensorRT's. Source: add_nms.
    """

    count: Dim
    iou_threshold: float
    max_output_boxes_per_class: int = MOST_BOXES

    def infer(self, boxes: TensorType, scores: TensorType) -> TensorType:
        self.require_floats(boxes, scores)
        self.require(boxes.dtype is DType.FLOAT32, f"takes float32, not {boxes}")
        self.require(boxes.rank == 3 and boxes.shape[2] == 4, f"{boxes} is no (B, N, 4)")
        self.require(scores.rank == 3, f"{scores} is no (B, N, C)")
        pairs = zip(boxes.shape[:2], scores.shape[:2], strict=True)
        alike = all(a == b or not is_static((a, b)) for a, b in pairs)
        self.require(alike, f"{boxes} and {scores} differ in images or boxes")
        self.require(0 <= self.iou_threshold <= 1, f"{self.iou_threshold} is outside 0..1")
        most = self.max_output_boxes_per_class
        self.require(0 < most <= MOST_BOXES, f"{most} boxes are outside 1..{MOST_BOXES}")
        size = boxes.shape[1]
        self.require(
            not isinstance(size, int) or size <= MOST_BOXES,
            f"{boxes} has more boxes than the {MOST_BOXES} that TensorRT considers",
        )
        return TensorType(DType.INT32, (self.count, 3))

    @property
    def decides(self) -> frozenset[str]:
        return frozenset(symbols([self.count]))

    def evaluate(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        rows = [torch.empty(0, 3, dtype=torch.int64, device=boxes.device)]
        for image, (corners, table) in enumerate(zip(boxes, scores, strict=True)):
            kept = [
                torch.stack([torch.full_like(k, image), torch.full_like(k, c), k], 1)
                for c, column in enumerate(table.unbind(1))
                for k in [self._kept(corners, column)]
            ]
            found = torch.cat([rows[0], *kept])
            best = table[found[:, 2], found[:, 1]].argsort(descending=True, stable=True)
            rows.append(found[best])
        return torch.cat(rows).int()

    def _kept(self, boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        order = scores.argsort(descending=True, stable=True)
        kept = greedy(boxes[order], self.iou_threshold)
        return order[kept[: self.max_output_boxes_per_class]]

    def lower(self, api: Api, boxes: Any, scores: Any) -> Any:
        import torch

        def scalar(value: float, dtype: torch.dtype) -> Any:
            return api.constant(torch.tensor(value, dtype=dtype))

        layer = api.add_nms(boxes, scores, scalar(self.max_output_boxes_per_class, torch.int32))
        layer.set_input(3, scalar(self.iou_threshold, torch.float32))
        # TensorRT takes scores above a threshold, which is 0 unless it is told otherwise.
        layer.set_input(4, scalar(torch.finfo(torch.float32).min, torch.float32))
        indices = layer.get_output(0)
        api.measure(self.count, indices, 0)
        return indices


def greedy(boxes: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """The places in ``(n, 4)``, the best box first, of those that none before that stays overlaps.

    Source: torchvision.ops.nms.
    """
    import torch

    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    gone = torch.zeros_like(sizes, dtype=torch.bool)
    kept = []
    for i in range(len(boxes)):
        if not gone[i]:
            kept.append(i)
            low = boxes[i + 1 :, :2].maximum(boxes[i, :2])
            shared = (boxes[i + 1 :, 2:].minimum(boxes[i, 2:]) - low).clamp_min(0).prod(1)
            gone[i + 1 :] |= shared / (sizes[i + 1 :] + sizes[i] - shared) > iou_threshold
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)
