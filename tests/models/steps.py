"""One step of a decoder: the next words and what went before, to logits and a longer memory.

The memory, keys and values ``(batch, heads, past, width)`` of each layer, goes in and comes out as
tensors, as a server keeps it between the calls of an engine.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn

from tests.models.audio import WHISPER
from tests.models.hugging import transformer
from tests.models.language import GROUPED, T5
from tests.models.row import Row, ids, normal

__all__ = ["SMALL"]

Memory: TypeAlias = list[tuple[torch.Tensor, torch.Tensor]]


def _cache(memory: Memory) -> Any:
    return importlib.import_module("transformers").DynamicCache(memory)


def _memory(cache: Any) -> Memory:
    return [(layer.keys, layer.values) for layer in cache.layers]


class Step(nn.Module):
    """A decoder alone: ``input_ids (batch, 1)``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, memory: Memory) -> tuple[torch.Tensor, Memory]:
        cache = _cache(memory)
        given = self.model(input_ids=input_ids, past_key_values=cache, use_cache=True)
        return given.logits, _memory(cache)


class CrossStep(nn.Module):
    """A decoder beside an encoder, whose keys and values are computed once: ``crossed``."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        decoder_input_ids: torch.Tensor,
        memory: Memory,
        crossed: Memory,
        encoded: torch.Tensor,
    ) -> tuple[torch.Tensor, Memory]:
        transformers = importlib.import_module("transformers")
        cache = transformers.EncoderDecoderCache(_cache(memory), _cache(crossed))
        given = self.model(
            decoder_input_ids=decoder_input_ids,
            encoder_outputs=(encoded,),
            past_key_values=cache,
            use_cache=True,
        )
        return given.logits, _memory(cache.self_attention_cache)


def _make(
    name: str, config: str, step: type[nn.Module], values: dict[str, Any]
) -> Callable[..., Any]:
    return lambda: step(transformer(name, config, **values)())


def _past(length: str | int, heads: int = 4, width: int = 8, layers: int = 2) -> Any:
    return [
        (normal("batch", heads, length, width), normal("batch", heads, length, width))
        for _ in range(layers)
    ]


def _decoder(name: str, config: str, heads: int = 2, **changes: Any) -> Row:
    return Row(
        make=_make(name, config, Step, {**GROUPED, **changes}),
        inputs=(ids("batch", 1), _past("past", heads)),
    )


SMALL: dict[str, Row] = {
    "llama_step": _decoder("LlamaForCausalLM", "LlamaConfig"),
    "qwen3_step": _decoder("Qwen3ForCausalLM", "Qwen3Config", head_dim=8),
    "gpt_neox_step": _decoder("GPTNeoXForCausalLM", "GPTNeoXConfig", heads=4),
    "t5_step": Row(
        make=_make("T5ForConditionalGeneration", "T5Config", CrossStep, T5),
        inputs=(ids("batch", 1), _past("past"), _past("length"), normal("batch", "length", 32)),
    ),
    "whisper_step": Row(
        make=_make("WhisperForConditionalGeneration", "WhisperConfig", CrossStep, WHISPER),
        inputs=(ids("batch", 1), _past("past"), _past(20), normal("batch", 20, 32)),
    ),
}
"""Small configurations, by name."""
