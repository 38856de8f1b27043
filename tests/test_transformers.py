"""PyTorch's own attention modules, exported in eval mode, with the lengths of batches varying."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32

SIZES = [(2, 5), (1, 3), (4, 9)]


def seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return module.eval()


def check(module: nn.Module, make: Any, dynamic_shapes: Any) -> None:
    """One trace of dynamic sizes against PyTorch, at each of SIZES."""
    network = trtdsl.trace(module, (), make(*SIZES[0]), dynamic_shapes=dynamic_shapes)
    for size in SIZES:
        inputs = make(*size)
        with torch.no_grad():
            expected, actual = module(**inputs), network.evaluate(**inputs)
        pairs = zip(actual, expected, strict=True) if isinstance(actual, tuple) else None
        for ours, theirs in pairs or [(actual, expected)]:
            assert (ours is None) == (theirs is None)
            if theirs is not None:
                torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def tokens(batch: int, length: int, batch_first: bool, seed: int = 0) -> torch.Tensor:
    x = f32(batch, length, 8, seed=seed)
    return x if batch_first else x.transpose(0, 1).contiguous()


def padding(batch: int, length: int) -> torch.Tensor:
    """True behind the end of each row, of which all but the first end early."""
    ends = torch.arange(batch, 0, -1).clamp(max=2) + length - 2
    return torch.arange(length) >= ends[:, None]


BATCH, LENGTH = Dim("batch", min=1, max=8), Dim("length", min=2, max=32)


def axes(batch_first: bool) -> dict[int, Any]:
    return {0: BATCH, 1: LENGTH} if batch_first else {0: LENGTH, 1: BATCH}


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize(("need_weights", "average"), [(True, True), (True, False), (False, True)])
def test_multihead_attention(batch_first: bool, need_weights: bool, average: bool) -> None:
    module = seeded(nn.MultiheadAttention(8, 2, batch_first=batch_first))

    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = module

        def forward(self, x: torch.Tensor, blocked: torch.Tensor) -> Any:
            return self.attention(
                x, x, x, key_padding_mask=blocked, need_weights=need_weights,
                average_attn_weights=average,
            )  # fmt: skip

    def make(batch: int, length: int) -> dict[str, torch.Tensor]:
        return {"x": tokens(batch, length, batch_first), "blocked": padding(batch, length)}

    check(Attend().eval(), make, {"x": axes(batch_first), "blocked": axes(True)})


@pytest.mark.parametrize("mask", [None, "bool", "float", "causal"])
@pytest.mark.parametrize("bias", [True, False])
def test_multihead_attention_is_three_projections(mask: str | None, bias: bool) -> None:
    class Attend(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(8, 2, batch_first=True, bias=bias)

        def forward(self, x: torch.Tensor, memory: torch.Tensor) -> torch.Tensor:
            hidden = torch.ones(x.shape[1], memory.shape[1]).triu(1) == 1
            given = {
                "bool": hidden,
                "causal": hidden,
                "float": hidden.float() * -3,
            }.get(mask or "")
            attended, nothing = self.attention(
                x, memory, memory, need_weights=False, attn_mask=given, is_causal=mask == "causal"
            )
            assert nothing is None
            return attended

    module = seeded(Attend())

    def make(batch: int, length: int) -> dict[str, torch.Tensor]:
        return {
            "x": tokens(batch, length, True),
            "memory": tokens(batch, length, True, seed=1),
        }

    shapes = {"x": axes(True), "memory": axes(True)}
    check(module, make, shapes)
    products = [
        str(operation.outputs[0].type)
        for operation in trtdsl.trace(module, tuple(make(3, 5).values())).operations
        if operation.layer.kind == "matrix_multiply"
    ]
    assert products == ["f32[3, 5, 8]"] * 4


@pytest.mark.parametrize(("batch_first", "norm_first"), [(True, False), (False, True)])
def test_encoder_with_padding(batch_first: bool, norm_first: bool) -> None:
    layer = nn.TransformerEncoderLayer(
        8, 2, 16, activation="gelu", batch_first=batch_first, norm_first=norm_first
    )
    module = seeded(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))

    def make(batch: int, length: int) -> dict[str, torch.Tensor]:
        return {
            "src": tokens(batch, length, batch_first),
            "src_key_padding_mask": padding(batch, length),
        }

    shapes = {"src": axes(batch_first), "src_key_padding_mask": axes(True)}
    check(module, make, shapes)


@pytest.mark.parametrize("batch_first", [True, False])
def test_decoder_with_a_causal_mask_and_a_memory(batch_first: bool) -> None:
    layer = nn.TransformerDecoderLayer(8, 2, 16, batch_first=batch_first)
    module = seeded(nn.TransformerDecoder(layer, 2))

    class Decode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.decoder = module

        def forward(self, x: torch.Tensor, memory: torch.Tensor, blocked: torch.Tensor) -> Any:
            length = x.shape[1 if batch_first else 0]
            causal = torch.ones(length, length, dtype=torch.bool).triu(1)
            return self.decoder(
                x, memory, tgt_mask=causal, memory_key_padding_mask=blocked, tgt_is_causal=True
            )

    def make(batch: int, length: int) -> dict[str, torch.Tensor]:
        return {
            "x": tokens(batch, length, batch_first),
            "memory": tokens(batch, 7, batch_first, seed=1),
            "blocked": padding(batch, 7),
        }

    memory = {0 if batch_first else 1: BATCH}
    shapes = {"x": axes(batch_first), "memory": memory, "blocked": {0: BATCH}}
    check(Decode().eval(), make, shapes)


def test_a_whole_transformer() -> None:
    model = nn.Transformer(8, 2, 1, 1, 16, batch_first=True)
    model.encoder.enable_nested_tensor = False
    module = seeded(model)

    class Translate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = module

        def forward(self, src: torch.Tensor, tgt: torch.Tensor) -> torch.Tensor:
            mask = nn.Transformer.generate_square_subsequent_mask(6)
            result: torch.Tensor = self.model(src, tgt, tgt_mask=mask, tgt_is_causal=True)
            return result

    def make(batch: int, length: int) -> dict[str, torch.Tensor]:
        return {"src": tokens(batch, length, True), "tgt": tokens(batch, 6, True, seed=1)}

    check(Translate().eval(), make, {"src": axes(True), "tgt": {0: BATCH}})
