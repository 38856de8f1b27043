"""Rotary embeddings as models write them: one layer where it is the same, else many."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_ir import answers, assert_close
from tests.test_lowering import lowered
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.rotary_embedding import RotaryEmbedding


def turned(x: torch.Tensor) -> torch.Tensor:
    low, high = x.chunk(2, -1)
    return torch.cat((-high, low), -1)


class Turned(nn.Module):
    """Queries of three heads and keys of one, turned by their positions."""

    def __init__(self, *, sizes: tuple[int, int] = (4, 4), flipped: bool = False) -> None:
        super().__init__()
        self.register_buffer("low", f32(sizes[0], low=0.1))
        self.register_buffer("high", f32(sizes[1], low=0.1))
        self.same, self.flipped = sizes[0] == sizes[1], flipped

    def forward(self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor) -> object:
        low = positions[:, :, None].float() * self.low
        high = low if self.same else positions[:, :, None].float() * self.high
        angles = torch.cat((low, high), -1)
        cos, sin = angles.cos().unsqueeze(1) * 1.5, angles.sin().unsqueeze(1) * 1.5
        around = (lambda x: -turned(x)) if self.flipped else turned
        return q * cos + around(q) * sin, sin * turned(k) + cos * k


Q, K, POSITIONS = f32(2, 3, 5, 8), f32(2, 1, 5, 8), torch.tensor([[0, 1, 2, 3, 9]])


def count(network: trtdsl.Network, kind: type) -> int:
    return sum(isinstance(op.layer, kind) for op in network.operations)


@pytest.mark.parametrize("rows", [1, 2])
def test_one_layer_stands_for_what_a_model_computes_by_hand(rows: int) -> None:
    inputs = (Q, K, POSITIONS.expand(rows, -1).contiguous())
    network = trtdsl.trace(Turned().eval(), inputs)
    assert count(network, RotaryEmbedding) == 2
    assert count(network, Concatenation) == 0
    for ours, theirs in zip(answers(network.evaluate(*inputs)), Turned()(*inputs), strict=True):
        assert_close(ours, theirs, 1e-6)


def test_of_any_batch_and_length() -> None:
    b, s = Dim("b", min=1, max=8), Dim("s", min=2, max=64)
    sizes = {"q": {0: b, 2: s}, "k": {0: b, 2: s}, "positions": {1: s}}
    network = trtdsl.trace(Turned().eval(), (Q, K, POSITIONS), dynamic_shapes=sizes)
    assert count(network, RotaryEmbedding) == 2
    for rows, length in ((1, 2), (4, 11)):
        inputs = f32(rows, 3, length, 8), f32(rows, 1, length, 8), torch.arange(length)[None] * 3
        for ours, theirs in zip(answers(network.evaluate(*inputs)), Turned()(*inputs), strict=True):
            assert_close(ours, theirs, 1e-6)
    for version in standin.VERSIONS:
        created = [type(layer).__name__ for layer in lowered(network, version).created]
        known = hasattr(standin.load(version).INetworkDefinition, "add_rotary_embedding")
        assert created.count("IRotaryEmbeddingLayer") == (2 if known else 0)


@pytest.mark.parametrize(("sizes", "flipped"), [((3, 5), False), ((4, 4), True)])
def test_halves_that_differ_and_another_turn_stay_as_they_are(
    sizes: tuple[int, int], flipped: bool
) -> None:
    model = Turned(sizes=sizes, flipped=flipped).eval()
    network = trtdsl.trace(model, (Q, K, POSITIONS))
    assert count(network, RotaryEmbedding) == flipped  # the keys' is an embedding all the same
    expected = model(Q, K, POSITIONS)
    for ours, theirs in zip(answers(network.evaluate(Q, K, POSITIONS)), expected, strict=True):
        assert_close(ours, theirs, 1e-6)


def test_in_float16_angles_stay_in_float32() -> None:
    class Projected(Turned):
        def forward(self, q: torch.Tensor, k: torch.Tensor, positions: torch.Tensor) -> object:
            return super().forward(q @ torch.eye(8), k @ torch.eye(8), positions)

    far = POSITIONS + 1000
    network = trtdsl.trace(Projected().eval(), (Q, K, far), precision="fp16")
    assert count(network, RotaryEmbedding) == 2
    for ours, theirs in zip(answers(network.evaluate(Q, K, far)), Turned()(Q, K, far), strict=True):
        assert_close(ours, theirs, 3e-3)
