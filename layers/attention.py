"""Scaled dot-product attention, under all the names that PyTorch gives it."""

from __future__ import annotations

import math

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.attention import Attention, at_or_below, lowest, repeated_heads
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import as_tensor, maximum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, broadcast

from .absent import Absent
from .attending import attending
from .creation import filled
from .shape import expanded

__all__ = ["attention", "mask_of"]

aten = torch.ops.aten

_SUMS = Absent("the logarithms of an attention's sums", "call scaled_dot_product_attention")
_STATE = Absent("what an attention keeps for its gradient", "call scaled_dot_product_attention")


@converter(aten.scaled_dot_product_attention.default)
def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """``softmax(query @ key.T * scale + attn_mask) @ value``: ``(*B, L, E), .. -> (*B, L, V)``.

    With ``enable_gqa`` key and value have fewer heads, each for several neighbours of the query's.
    """
    _refuse_dropout(dropout_p)
    return attention(query, key, value, attn_mask, causal=is_causal, scale=scale)


@converter(aten._scaled_dot_product_attention_math.default)
def _scaled_dot_product_attention_math(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    dropout_mask: Tensor | None = None,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> tuple[Tensor, Absent]:
    """``scaled_dot_product_attention``, and the weights."""
    _refuse_dropout(dropout_p, dropout_mask)
    weights = Absent("the weights of an attention", "compute them with matmul and softmax")
    if attn_mask is not None:  # this operator adds a bool one, as 0 and 1
        attn_mask = attn_mask.cast(query.dtype)
    return attention(query, key, value, attn_mask, causal=is_causal, scale=scale), weights


@converter(aten._scaled_dot_product_flash_attention_for_cpu.default)
def _scaled_dot_product_flash_attention_for_cpu(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> tuple[Tensor, Absent]:
    """``scaled_dot_product_attention`` as the CPU's kernel."""
    _refuse_dropout(dropout_p)
    return attention(query, key, value, attn_mask, causal=is_causal, scale=scale), _SUMS


@converter(aten._scaled_dot_product_flash_attention.default)
def _scaled_dot_product_flash_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Tensor | Absent, ...]:
    """``scaled_dot_product_attention`` as the flash kernel."""
    _refuse_dropout(dropout_p)
    y = attention(query, key, value, None, causal=is_causal, scale=scale)
    return y, _SUMS, *[_STATE] * 7


@converter(aten._scaled_dot_product_efficient_attention.default)
def _scaled_dot_product_efficient_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Tensor | Absent, ...]:
    """``scaled_dot_product_attention`` as the memory-efficient kernel."""
    _refuse_dropout(dropout_p)
    y = attention(query, key, value, attn_bias, causal=is_causal, scale=scale)
    return y, _SUMS, *[_STATE] * 2


@converter(aten._scaled_dot_product_cudnn_attention.default)
def _scaled_dot_product_cudnn_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    compute_log_sumexp: bool,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Tensor | Absent, ...]:
    """``scaled_dot_product_attention`` as cuDNN's kernel."""
    _refuse_dropout(dropout_p)
    y = attention(query, key, value, attn_bias, causal=is_causal, scale=scale)
    return y, _SUMS, *[_STATE] * 7


@converter(aten._scaled_dot_product_fused_attention_overrideable.default)
def _scaled_dot_product_fused_attention_overrideable(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Tensor | Absent, ...]:
    """``scaled_dot_product_attention`` as another device's kernel."""
    _refuse_dropout(dropout_p)
    y = attention(query, key, value, attn_bias, causal=is_causal, scale=scale)
    return y, _SUMS, *[_STATE] * 7


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    *,
    causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """PyTorch's attention: of any rank, its mask broadcast, and 0 for a query without a key."""
    inputs = (query, key, value)
    rank = max(x.rank for x in inputs)
    width = max(4, rank)
    query, key, value = (_lifted(x, width) for x in inputs)
    lead = broadcast(*(x.shape[:-3] for x in (query, key, value)))
    heads = broadcast(query.shape[-3:-2], *_ones(key, value, query))[0]
    shape = (*lead, heads, query.shape[-2], value.shape[-1])[width - rank :]
    if 0 in (*shape, key.shape[-2]):
        return filled(query.network, shape, 0, query.dtype)
    query = _scaled(query, scale)
    query = _batched(query, (*lead, heads))
    shared = key.shape[-3] if key.shape[-3] == value.shape[-3] else heads
    key, value = (_batched(x, (*lead, x.shape[-3])) for x in (key, value))
    key, value = (repeated_heads(x, heads) if x.shape[1] != shared else x for x in (key, value))
    masks = _masks(query, key, mask, lead, causal)
    y = Attention(causal=causal and mask is None)(query, key, value, *masks)
    return y.reshape(*shape)


def _scaled(query: Tensor, scale: float | None) -> Tensor:
    width = query.shape[-1]
    if scale is None and not isinstance(width, int):
        root = Unary(op=UnaryOperation.SQRT)(as_tensor(width, query.network, DType.FLOAT32))
        return (query.cast(DType.FLOAT32) / root).cast(query.dtype)
    factor = 1 / math.sqrt(width) if scale is None else scale
    return query if factor == 1 else query * factor


def _masks(
    query: Tensor, key: Tensor, mask: Tensor | None, lead: tuple[Dim, ...], causal: bool
) -> tuple[Tensor, ...]:
    """The mask, if there is one, as Attention takes it, and which queries attend to a key."""
    if mask is None:
        return ()
    mask, some = mask_of(query, key, mask, lead, causal=causal)
    if mask.dtype not in (DType.BOOL, query.dtype):
        mask = maximum(mask, lowest(query.dtype)).cast(query.dtype)
    spread = expanded(mask, (-1, -1, query.shape[2], key.shape[2]))
    return (spread,) if some is None else (spread, some)


def mask_of(
    query: Tensor, key: Tensor, mask: Tensor, lead: tuple[Dim, ...], *, causal: bool
) -> tuple[Tensor, Tensor | None]:
    """PyTorch's mask as ``(B, N, L, S)``, of which any may be 1, and which queries may attend.

    The latter is bool ``(B, N, L, 1)``, and None where every query may attend to a key.
    """
    mask = _lifted(mask, len(lead) + 3)
    if causal:
        below = at_or_below(query.network, query.shape[2], key.shape[2])
        low = False if mask.dtype is DType.BOOL else -math.inf
        mask = where(_lifted(below, mask.rank), mask, low, mask.dtype)
    if any(size != 1 for size in mask.shape[: len(lead)]):
        mask = expanded(mask, (*lead, *(-1,) * 3))
    mask = mask.reshape(math.prod(mask.shape[: len(lead)]), *mask.shape[-3:])
    return mask, attending(mask)


def _ones(key: Tensor, value: Tensor, query: Tensor) -> list[tuple[Dim, ...]]:
    """The numbers of heads that the query's broadcasts to: those of key and value, if it has 1."""
    return [x.shape[-3:-2] for x in (key, value)] if query.shape[-3] == 1 else []


def _lifted(x: Tensor, rank: int) -> Tensor:
    return x if x.rank == rank else Unsqueeze(axes=tuple(range(rank - x.rank)))(x)


def _batched(x: Tensor, lead: tuple[Dim, ...]) -> Tensor:
    """``(B, N, L, E)`` of a tensor that is expanded to sizes in front of its last two."""
    spread = expanded(x, (*lead, -1, -1))
    return spread.reshape(math.prod(lead[:-1]), *spread.shape[-3:])


def _refuse_dropout(probability: float, mask: Tensor | None = None) -> None:
    if probability > 0 or mask is not None:
        raise ConversionError(
            explain(
                f"an attention drops weights at random, with dropout_p={probability}",
                fix="call model.eval(), or pass dropout_p=0.0",
            )
        )
