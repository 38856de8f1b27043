"""Functions of torch.nn and torchvision in forms that torch.export captures, while it captures.

torchvision asks in Python whether any box is left, and whether there are fewer than it wants, which
values decide. The forms here give the same without asking; those of masks and keypoints are in
``torchvision_regions``, that of ``nn.MultiheadAttention`` is in ``attention_forms``, of
``flex_attention`` in ``flex_forms``, of losses in ``loss_forms``.
``nn.Transformer`` asks whether a mask is the causal one, to have a faster kernel, and distributions
whether their parameters are valid ones.
Source: torchvision.ops.boxes, torchvision.models.detection, torch.nn.modules.transformer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from trtdsl.export.attention_forms import attention_of
from trtdsl.export.flex_forms import flex_forms
from trtdsl.export.loss_forms import weighted
from trtdsl.export.torchvision_regions import keypoints_of, paste_masks_in_image, with_image_sizes

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["exportable"]


@contextmanager
def exportable() -> Iterator[None]:
    """Put the forms in place where their libraries are imported, and take them away again."""
    places: list[tuple[Any, str, Any]] = [
        (sys.modules[module], name, form)
        for module, name, form in _FORMS
        if hasattr(sys.modules.get(module), name)
    ]
    heads = getattr(sys.modules.get(_DETECTION + "roi_heads"), "RoIHeads", None)
    if heads is not None:
        places.append((heads, "forward", with_image_sizes(heads.forward)))
    coder = getattr(sys.modules.get(_DETECTION + "_utils"), "BoxCoder", None)
    if coder is not None:
        places.append((coder, "decode", _decoded))
    attention = sys.modules["torch.nn"].MultiheadAttention
    places.append((attention, "forward", attention_of(attention.forward)))
    distributions = sys.modules.get("torch.distributions.distribution")
    if distributions is not None:
        places.append((distributions.Distribution, "_validate_args", False))
    vmap: Any = sys.modules.get("torch._functorch.vmap")
    if hasattr(vmap, "_remove_batch_dim"):
        places.append((vmap, "_remove_batch_dim", _moved(vmap._remove_batch_dim)))
    places += flex_forms()
    before = [getattr(place, name) for place, name, _ in places]
    try:
        for place, name, form in places:
            setattr(place, name, form)
        with weighted():
            yield
    finally:
        for (place, name, _), function in zip(places, before, strict=True):
            setattr(place, name, function)


def _batched_nms(boxes: Tensor, scores: Tensor, idxs: Tensor, iou_threshold: float) -> Tensor:
    """``nms`` of each class by itself: boxes of different ones are moved apart."""
    import torch

    largest = torch.cat([boxes.flatten(), boxes.new_zeros(1)]).max()  # also where there are none
    apart = boxes + (idxs.to(boxes) * (largest + 1))[:, None]
    kept: Tensor = torch.ops.torchvision.nms(apart, scores, iou_threshold)
    return kept


def _decoded(self: Any, rel_codes: Tensor, boxes: list[Tensor]) -> Tensor:
    """``BoxCoder.decode``: boxes ``(n, classes, 4)``, also where there are none."""
    import torch

    found: Tensor = self.decode_single(rel_codes.flatten(1), torch.cat(boxes))
    return found.reshape(found.shape[0], found.shape[1] // 4, 4)


def _topk_min(input: Tensor, orig_kval: int, axis: int) -> Any:
    """The smaller of a number and of a size."""
    import torch

    return torch.sym_min(orig_kval, input.size(axis))  # type: ignore[no-untyped-call]


def _is_causal(mask: Any, is_causal: bool | None = None, size: int | None = None) -> bool:
    """Whether a mask is said to be the causal one; it is applied in either case."""
    return is_causal is True


def _moved(remove: Callable[..., Any]) -> Callable[..., Any]:
    """The results of ``torch.vmap``: torch.export does not see their axis being moved."""

    def removed(x: Any, level: int, batch_size: int, out_dim: int) -> Any:
        result = remove(x, level, batch_size, 0)
        return result.movedim(0, out_dim) if out_dim else result

    return removed


_DETECTION = "torchvision.models.detection."
_FORMS: tuple[tuple[str, str, Callable[..., Any]], ...] = (
    ("torch.nn.modules.transformer", "_detect_is_causal_mask", _is_causal),
    ("torchvision.ops", "batched_nms", _batched_nms),
    ("torchvision.ops.boxes", "batched_nms", _batched_nms),
    ("torchvision.ops.boxes", "_batched_nms_coordinate_trick", _batched_nms),
    ("torchvision.ops.boxes", "_batched_nms_vanilla", _batched_nms),
    (_DETECTION + "_utils", "_topk_min", _topk_min),
    (_DETECTION + "roi_heads", "keypointrcnn_inference", keypoints_of),
    (_DETECTION + "roi_heads", "paste_masks_in_image", paste_masks_in_image),
    (_DETECTION + "transform", "paste_masks_in_image", paste_masks_in_image),
)
