"""``x[:, place] = value`` where the place is a tensor of no axes, which Python asks for an int.

Reading is captured so; writing is not. A place of one axis writes the same, without a question.
Source: https://docs.pytorch.org/docs/stable/tensor_view.html and numpy's "Advanced indexing".
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["set_item"]

_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)


def set_item(x: Tensor, index: Any, value: Any) -> None:
    """``x[index] = value``; with places of no axes among ints, slices, None and Ellipsis."""
    items = list(index) if isinstance(index, tuple) else [index]
    places = [i for i, item in enumerate(items) if _is_place(item)]
    plain = all(_is_plain(item) for i, item in enumerate(items) if i not in places)
    if len(places) != 1 or not plain:
        x[index] = value
        return
    (place,) = places
    items[place] = items[place].reshape(1)
    behind = _axes_behind(x, items, place)
    if isinstance(value, Tensor) and value.dim() > behind:
        value = value.unsqueeze(value.dim() - behind)
    x[tuple(items)] = value


def _is_place(item: Any) -> bool:
    return isinstance(item, Tensor) and item.dim() == 0 and item.dtype in _INTEGERS


def _is_plain(item: Any) -> bool:
    if isinstance(item, slice):
        return not any(isinstance(end, Tensor) for end in (item.start, item.stop, item.step))
    if isinstance(item, bool):  # a mask, which adds an axis
        return False
    return item is None or item is Ellipsis or isinstance(item, int | torch.SymInt)


def _axes_behind(x: Tensor, items: list[Any], place: int) -> int:
    """How many axes of ``x[items]`` are behind the one of the place."""
    before, later = items[:place], items[place + 1 :]
    named = sum(item is not None and item is not Ellipsis for item in items)
    kept = sum(item is None or isinstance(item, slice) for item in later)
    others_are_before = any(item is Ellipsis for item in before)
    return kept if others_are_before else kept + x.dim() - named
