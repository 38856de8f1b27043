"""The operators that ``torch.nn``'s transformer modules call in one: attention and whole layers."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.attention import Attention
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Tensor
from trtdsl.operators import where
from trtdsl.registry import converter
from trtdsl.types import DType

from .absent import Absent
from .activation import gelu, relu
from .linear import linear
from .normalization import layer_norm
from .shape import expanded

__all__: list[str] = []

aten = torch.ops.aten

_UNASKED = Absent("attention's weights, which it did not need", "ask with need_weights=True")
_AXES = {0: (0, 1), 1: (1, 2), 2: ()}
"""Where a mask ``(L, S)``, ``(B, S)`` or ``(B, N, L, S)`` lacks axes, by mask_type."""


@converter(aten._native_multi_head_attention.default)
def _native_multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim: int,
    num_head: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    mask: Tensor | None = None,
    need_weights: bool = True,
    average_attn_weights: bool = True,
    mask_type: int | None = None,
) -> tuple[Tensor, Tensor | Absent]:
    """Projected attention ``(B, L, D)``; where needed its weights ``(B, L, L)``, or of each head.

    A mask is true where a key is passed over: ``(L, L)`` with ``mask_type`` 0, ``(B, L)`` with 1,
    ``(B, N, L, L)`` with 2.
    """
    q, k, v = _projected((query, key, value), qkv_weight, qkv_bias, num_head)
    q = q * (1 / math.sqrt(q.shape[3]))
    blocked = None if mask is None else _of_rank_4(mask, mask_type)
    if not need_weights:
        size = (-1, -1, q.shape[2], k.shape[2])
        allowed = () if blocked is None else (expanded(~blocked, size),)
        return _joined(Attention()(q, k, v, *allowed), proj_weight, proj_bias), _UNASKED
    scores = MatrixMultiply(op1=MatrixOperation.TRANSPOSE)(q, k).cast(DType.FLOAT32)
    scores = scores if blocked is None else where(blocked, -math.inf, scores)
    weights = SoftMax(axis=3)(scores).cast(query.dtype)
    y = _joined(MatrixMultiply()(weights, v), proj_weight, proj_bias)
    if average_attn_weights:
        weights = Reduce(op=ReduceOperation.AVG, axes=(1,))(weights)
    return y, weights


@converter(aten._transformer_encoder_layer_fwd.default)
def _transformer_encoder_layer_fwd(
    src: Tensor,
    embed_dim: int,
    num_heads: int,
    qkv_weight: Tensor,
    qkv_bias: Tensor,
    proj_weight: Tensor,
    proj_bias: Tensor,
    use_gelu: bool,
    norm_first: bool,
    eps: float,
    norm_weight_1: Tensor,
    norm_bias_1: Tensor,
    norm_weight_2: Tensor,
    norm_bias_2: Tensor,
    ffn_weight_1: Tensor,
    ffn_bias_1: Tensor,
    ffn_weight_2: Tensor,
    ffn_bias_2: Tensor,
    mask: Tensor | None = None,
    mask_type: int | None = None,
) -> Tensor:
    """A transformer's encoder layer, ``(B, L, D)`` in and out."""
    projections = (qkv_weight, qkv_bias, proj_weight, proj_bias)
    tail = (*projections, mask, False, True, mask_type)
    norm_1 = partial(_norm, size=embed_dim, weight=norm_weight_1, bias=norm_bias_1, eps=eps)
    norm_2 = partial(_norm, size=embed_dim, weight=norm_weight_2, bias=norm_bias_2, eps=eps)
    x = norm_1(src) if norm_first else src
    x = src + _native_multi_head_attention(x, x, x, embed_dim, num_heads, *tail)[0]
    x = x if norm_first else norm_1(x)
    inner = linear(norm_2(x) if norm_first else x, ffn_weight_1, ffn_bias_1)
    x = x + linear(gelu(inner) if use_gelu else relu(inner), ffn_weight_2, ffn_bias_2)
    return x if norm_first else norm_2(x)


def _norm(x: Tensor, *, size: int, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return layer_norm(x, [size], weight, bias, eps)


def _projected(
    inputs: tuple[Tensor, Tensor, Tensor], weight: Tensor, bias: Tensor, heads: int
) -> list[Tensor]:
    """Query, key and value ``(B, N, L, E)``; those of one input by one product."""
    size = bias.shape[0] // 3
    if inputs[0] is inputs[1] is inputs[2]:
        packed = linear(inputs[0], weight, bias)
        parts = [section(packed, 2, i * size, size) for i in range(3)]
    else:
        parts = [
            linear(x, section(weight, 0, i * size, size), section(bias, 0, i * size, size))
            for i, x in enumerate(inputs)
        ]
    return [x.reshape(*x.shape[:2], heads, size // heads).permute(0, 2, 1, 3) for x in parts]


def _joined(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The heads side by side, and projected."""
    batch, heads, length, size = x.shape
    return linear(x.permute(0, 2, 1, 3).reshape(batch, length, heads * size), weight, bias)


def _of_rank_4(mask: Tensor, mask_type: Any) -> Tensor:
    if mask_type not in _AXES:
        raise ConversionError(
            explain(f"the mask {mask} of an attention has type {mask_type}", fix="say 0, 1 or 2")
        )
    axes = _AXES[mask_type]
    return Unsqueeze(axes=axes)(mask) if axes else mask
