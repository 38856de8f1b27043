"""Functions of torchvision in forms that torch.export captures, for as long as it captures.

torchvision asks in Python whether any box is left, and whether there are fewer than it wants, which
values decide. The forms here give the same without asking.
Source: torchvision.ops.boxes, torchvision.models.detection._utils.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["exportable"]


@contextmanager
def exportable() -> Iterator[None]:
    """Put the forms in place where torchvision is imported, and take them away again."""
    places = [
        (sys.modules[module], name, form)
        for module, name, form in _FORMS
        if hasattr(sys.modules.get(module), name)
    ]
    before = [getattr(module, name) for module, name, _ in places]
    try:
        for module, name, form in places:
            setattr(module, name, form)
        yield
    finally:
        for (module, name, _), function in zip(places, before, strict=True):
            setattr(module, name, function)


def _batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """``nms`` of each class by itself: boxes of different ones are moved apart."""
    import torch

    largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # also where there are none
    apart = boxes + (idxs.to(boxes) * (largest + 1))[:, None]
    kept: Tensor = torch.ops.torchvision.nms(apart, scores, iou_threshold)
    return kept


def _topk_min(input: Tensor, orig_kval: int, axis: int) -> Any:
    """The smaller of a number and of a size."""
    import torch

    return torch.sym_min(orig_kval, input.size(axis))  # type: ignore[no-untyped-call]


_FORMS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("torchvision.ops", "batched_nms", _batched_nms),
    ("torchvision.ops.boxes", "batched_nms", _batched_nms),
    ("torchvision.ops.boxes", "_batched_nms_coordinate_trick", _batched_nms),
    ("torchvision.ops.boxes", "_batched_nms_vanilla", _batched_nms),
    ("torchvision.models.detection._utils", "_topk_min", _topk_min),
)
