"""Modules around an attention, as models write it: where its heads come from, and its masks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn.functional import scaled_dot_product_attention as attend

from tests.cases.base import f32


class Packed(nn.Module):
    """Queries, keys and values of one product, unbound as in timm."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(96, 3 * 96), nn.Linear(96, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        parts = self.qkv(x).reshape(batch, length, 3, 4, width // 4).permute(2, 0, 3, 1, 4)
        y = attend(*parts.unbind(0))
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Interleaved(nn.Module):
    """Query, key and value of a head next to each other, as in GPT-NeoX; causal."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(96, 3 * 96), nn.Linear(96, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        heads = self.qkv(x).view(batch, length, 4, 3 * width // 4).transpose(1, 2)
        y = attend(*heads.chunk(3, -1), is_causal=True, scale=0.3)
        return self.out(y.transpose(1, 2).reshape(batch, length, width))


class Shared(nn.Module):
    """Heads of keys and values for several of the queries', with a mask of all pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(96, 96), nn.Linear(96, 48), nn.Linear(96, 48)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        query, key, value = (
            layer(x).view(batch, length, -1, 24).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        y = attend(query, key, value, attn_mask=mask, enable_gqa=True)
        return y.transpose(1, 2).reshape(batch, length, width)


class Crossing(nn.Module):
    """PyTorch's module, the sequence first; keys are another sequence's, and some are hidden."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(96, 4)

    def forward(self, x: torch.Tensor, other: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(
            x, other, other, key_padding_mask=hidden, need_weights=False
        )[0]
        return y


class Turned(nn.Module):
    """Queries and keys that a function gives are in no product's columns; values are."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(96, 3 * 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        query, key, value = (
            part.reshape(batch, length, 4, width // 4).transpose(1, 2)
            for part in self.qkv(x).split(width, -1)
        )
        y = attend(query.cos(), key.sin(), value)
        return y.transpose(1, 2).reshape(batch, length, width)


def _hidden(batch: int, length: int) -> torch.Tensor:
    """The last keys of each element of the batch are hidden, of the last one all."""
    left = torch.arange(length)[None] >= length - 3 * torch.arange(batch)[:, None]
    left[-1] = True
    return left


def _pairs(length: int) -> torch.Tensor:
    mask = f32(length, length)
    mask[mask > 0.7] = -torch.inf
    mask[5] = -torch.inf
    return mask


MODELS: Mapping[str, tuple[type[nn.Module], tuple[torch.Tensor, ...], int]] = {
    "packed": (Packed, (f32(3, 37, 96),), 3),
    "interleaved": (Interleaved, (f32(2, 70, 96),), 3),
    "shared": (Shared, (f32(2, 21, 96), _pairs(21)), 3),
    "crossing": (
        Crossing, (f32(19, 3, 96), f32(33, 3, 96, seed=1), _hidden(3, 33)), 3
    ),
    "turned": (Turned, (f32(2, 18, 96),), 1),
}  # fmt: skip
"""Each with its inputs, and how many of query, key and value are rows."""


def made(name: str) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A module of the table, always with the same weights."""
    kind, inputs, _ = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return kind().eval(), inputs
