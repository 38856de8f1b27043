"""Attention as one kernel that reads heads where a linear layer left them.

``trtdsl.layers.attention`` does the same by two products around a softmax, or by TensorRT's own
layer from 10.14 on.
"""

from __future__ import annotations

from typing import TypeAlias

import torch

from trtdsl.ir.attention import lowest
from trtdsl.layers.attention import mask_of
from trtdsl.layers.attention import scaled_dot_product_attention as of_layers
from trtdsl.layers.joining import cat
from trtdsl.layers.shape import expanded
from trtdsl.network import Tensor
from trtdsl.operators import maximum, where
from trtdsl.types import DType, is_static

from .biases import unbiased
from .columns import Columns, columns
from .flash_attention import ALIGNMENT, WIDEST, FlashAttention

__all__ = ["CONVERTERS", "scaled_dot_product_attention"]

_Places: TypeAlias = tuple[Columns | None, ...]


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
    """``aten::scaled_dot_product_attention``, by the kernel where it takes the heads."""
    if dropout_p or not _is_one_kernel(query, key, value):
        kept: Tensor = of_layers(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
        return kept
    batch, heads, length, size = query.shape
    inputs = (query, key, value)
    places = _together(tuple(map(_placed, inputs)))
    causal = is_causal and attn_mask is None
    layer = _layer(inputs, places, size**-0.5 if scale is None else scale, causal=causal)
    masks = _masks(query, key, attn_mask, is_causal)
    y = layer(*_given(layer, inputs, places), *masks)
    if layer.sequence_first:
        return y.reshape(length, batch, heads, size).permute(1, 2, 0, 3)
    return y.reshape(batch, length, heads, size).permute(0, 2, 1, 3)


def _is_one_kernel(query: Tensor, key: Tensor, value: Tensor) -> bool:
    if {query.rank, key.rank, value.rank} != {4} or 0 in (*query.shape, *key.shape):
        return False
    heads, groups, size = query.shape[1], key.shape[1], query.shape[3]
    known = is_static((heads, groups, size, value.shape[3])) and query.shape[0] == key.shape[0]
    alike = key.shape[:3] == value.shape[:3] and key.shape[3] == size == value.shape[3]
    return known and alike and heads % groups == 0 and size % ALIGNMENT == 0 and size <= WIDEST


def _placed(heads: Tensor) -> Columns | None:
    place = columns(heads)
    if place is None:
        return None
    sizes = (place.first, place.stride, place.rows.shape[-1])
    aligned = is_static(sizes) and all(size % ALIGNMENT == 0 for size in sizes)
    return place if aligned else None


def _together(places: _Places) -> _Places:
    """The places, where all rows are of one order; else none."""
    rows = [place for place in places if place is not None]
    batch_first = all(place.batch_first for place in rows)
    one_order = batch_first or all(place.sequence_first for place in rows)
    return places if one_order else (None,) * len(places)


def _layer(
    inputs: tuple[Tensor, ...], places: _Places, scale: float, *, causal: bool
) -> FlashAttention:
    query, key, _ = inputs
    rows = [unbiased(place.rows) for place in places if place is not None]
    alone = len(rows) == len(places)  # where others read the sums too, these are there anyhow
    return FlashAttention(
        heads=query.shape[1],
        groups=key.shape[1],
        size=query.shape[3],
        first=tuple(place.first if place else 0 for place in places),
        stride=tuple(place.stride if place else 0 for place in places),
        lengths=tuple(_length(x) if place else 0 for x, place in zip(inputs, places, strict=True)),
        scale=scale,
        causal=causal,
        sequence_first=any(place is not None and not place.batch_first for place in places),
        biased=alone and any(bias is not None for _, bias in (rows[0], rows[2])),
    )


def _given(
    layer: FlashAttention, inputs: tuple[Tensor, ...], places: _Places
) -> tuple[Tensor, ...]:
    """Query, key and value where they were, and the bias."""
    given, biases = [], []
    alone = all(places)
    for i, (x, place) in enumerate(zip(inputs, places, strict=True)):
        if place is None:
            given.append(x)
            continue
        rows, bias = unbiased(place.rows) if alone else (place.rows, None)
        given.append(_rows(x, rows, sequence_first=layer.sequence_first))
        biases += [layer.bias_of(i, bias, x.network)] if layer.biased and i != 1 else []
    return (*given, cat(biases)) if biases else tuple(given)


def _length(heads: Tensor) -> int:
    """The length, where a matrix of rows says all: TensorRT 8.6 copies rows that are reshaped."""
    batch, _, length, _ = heads.shape
    return int(length) if is_static((batch, length)) else 0


def _rows(heads: Tensor, rows: Tensor, *, sequence_first: bool) -> Tensor:
    batch, _, length, _ = heads.shape
    lines = (length, batch) if sequence_first else (batch, length)
    shape = (*((batch * length,) if _length(heads) else lines), rows.shape[-1])
    return rows if rows.shape == shape else rows.reshape(*shape)


def _masks(query: Tensor, key: Tensor, mask: Tensor | None, causal: bool) -> tuple[Tensor, ...]:
    """A mask as what is added to scores, and who attends to a key."""
    if mask is None:
        return ()
    mask, attending = mask_of(query, key, mask, query.shape[:1], causal=causal)
    low = lowest(query.dtype)
    if mask.dtype is DType.BOOL:
        mask = where(mask, 0.0, low, query.dtype)
    if mask.dtype is not query.dtype:
        mask = maximum(mask, low).cast(query.dtype)
    mask = expanded(mask, (-1, -1, -1, key.shape[2]))
    return (mask,) if attending is None else (mask, attending.cast(query.dtype))


CONVERTERS = {torch.ops.aten.scaled_dot_product_attention.default: scaled_dot_product_attention}
