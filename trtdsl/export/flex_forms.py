"""``torch.nn.attention.flex_attention`` in operators that there are converters of.

PyTorch itself captures it as one operator with two functions in it, of single scores and places.
Here those are computed of all scores at once, as PyTorch does without a compiler; what a mask's
blocks leave out is left out by its function. Attention whose scores are let be stays one operator.
Source: torch._higher_order_ops.flex_attention.math_attention.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ConversionError, explain

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["flex_forms"]

_WHOLE = 1 << 20
"""The blocks of attention without a mask are larger than that."""
_MODULE = "torch.nn.attention.flex_attention"


def flex_forms() -> Iterator[tuple[Any, str, Any]]:
    """What to put in place of what in PyTorch's file, where that was imported."""
    file = sys.modules.get(_MODULE)
    if file is not None and all(hasattr(file, name) for name in _FORMS):
        yield from ((file, name, form) for name, form in _FORMS.items())


def _attended(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    score_mod: Callable[..., Tensor],
    block_mask: tuple[Any, ...],
    scale: float,
    kernel_options: dict[str, Any],
) -> tuple[Tensor, Tensor, Tensor]:
    """``(B, H, L, E), (B, G, S, E), (B, G, S, V) -> (B, H, L, V)``, and two numbers a query.

    These are the logarithm of the sum of its scores' powers and the largest score, to base 2.
    """
    import torch
    import torch.nn.functional as F

    _require_function(block_mask)
    times = query.shape[1] // key.shape[1]
    key, value = (x.expand(query.shape[0], *x.shape[1:]) for x in (key, value))
    whole = (x.repeat_interleave(times, 1) if times > 1 else x for x in (key, value))
    keys, values = whole
    scores = query.float() @ keys.float().mT * scale
    allowed = _mask(block_mask[-1], scores)
    changed = scores if _is(score_mod, "_identity") else _of_all(score_mod, scores, (scores,))
    hidden = changed if allowed is None else changed.masked_fill(~allowed, -torch.inf)
    if changed is scores:
        y = F.scaled_dot_product_attention(
            query, key, value, allowed, scale=scale, enable_gqa=times > 1
        )
    else:
        y = torch.ops.aten._safe_softmax(hidden, -1).to(query.dtype) @ values
    return y, hidden.logsumexp(-1) / math.log(2), hidden.amax(-1) / math.log(2)


def _whole_blocks(mask: Tensor, *, separate_full_blocks: bool, **sizes: int) -> Any:
    """The blocks of a mask, all of them: which ones there are is not read."""
    batch, heads, queries, keys = mask.shape
    counts = -(-queries // sizes["Q_BLOCK_SIZE"]), -(-keys // sizes["KV_BLOCK_SIZE"])
    return mask[:, :, :1, :1].expand(batch, heads, *counts).int(), None


def _require_function(block_mask: tuple[Any, ...]) -> None:
    """Refuse a mask that is its blocks alone: PyTorch heeds them only where it compiles."""
    query_block, key_block, function = block_mask[-3:]
    whole = min(query_block, key_block) >= _WHOLE
    if _is(function, "noop_mask") and not whole:
        raise ConversionError(
            explain(
                f"the mask of flex_attention is blocks of {query_block} by {key_block}, and no "
                "function: PyTorch reads them only where it compiles",
                fix="give a mask_mod that hides what the blocks do, to create_block_mask or "
                "BlockMask.from_kv_blocks",
            )
        )


def _mask(function: Callable[..., Tensor], scores: Tensor) -> Tensor | None:
    """Which scores count, of size 1 where that is the same of all heads or all of the batch."""
    if _is(function, "noop_mask"):
        return None
    mask = _of_all(function, scores, ())
    for axis in (0, 1):
        mask = mask.narrow(axis, 0, 1) if mask.stride(axis) == 0 else mask
    return mask


def _of_all(function: Callable[..., Tensor], scores: Tensor, of: tuple[Tensor, ...]) -> Tensor:
    """A function of single scores and places ``(b, h, q, kv)``, of all of them."""
    import torch
    from torch._dynamo._trace_wrapped_higher_order_op import TransformGetItemToIndex

    places = [torch.arange(n, device=scores.device) for n in scores.shape]
    own = (0,) * len(of)
    for axis in reversed(range(4)):
        inner = [None] * 4
        inner[axis] = 0  # type: ignore[call-overload]
        function = torch.vmap(function, in_dims=(*own, *inner))
    with TransformGetItemToIndex():
        return function(*of, *places)


def _is(function: Any, name: str) -> bool:
    return function is getattr(sys.modules[_MODULE], name, None)


_FORMS: dict[str, Any] = {
    "flex_attention_hop": _attended,
    "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG": True,  # else it is compiled
    "_convert_mask_to_block_mask": _whole_blocks,
    "setup_compilation_env": partial(nullcontext, "eager"),  # which would not see what is captured
}
