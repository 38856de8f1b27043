"""Attention in real engines: softmax in 16 bits, masks and rows that attend to nothing."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests import test_turned as turned
from tests.cases.base import f32
from trtdsl.build import BuildOptions, build
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Network
from trtdsl.types import DType

pytestmark = pytest.mark.gpu

FAST = BuildOptions(optimization_level=0)


def test_a_softmax_of_float16_adds_up_in_float32() -> None:
    """A sum of ones in float16 would end at 2048: its next number is 2050."""
    net = Network()
    x = net.input("x", (1, 4, 8192), DType.FLOAT16)
    net.output(SoftMax(axis=2)(x), "y")
    zeros = torch.zeros(1, 4, 8192, dtype=torch.float16, device="cuda")
    y = build(net, FAST)(zeros).float()
    torch.testing.assert_close(y, torch.full_like(y, 1 / 8192), rtol=2e-3, atol=0)


class Masked(nn.Module):
    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, mask)


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("kind", ["bool", "lowest"])
def test_masked_attention_in_float16(kind: str, level: int) -> None:
    q, k, v = f32(2, 4, 48, 64), f32(2, 4, 64, 64), f32(2, 4, 64, 64, seed=1)
    allowed = torch.arange(64).expand(2, 1, 48, 64) < torch.tensor([64, 21]).view(2, 1, 1, 1)
    if kind == "bool":
        allowed = allowed.clone()
        allowed[1, 0, 3] = False  # a query that attends to nothing
    lowest = (~allowed).float() * torch.finfo(torch.float32).min
    inputs = (q, k, v, allowed if kind == "bool" else lowest)
    model = Masked().eval()
    engine = trtdsl.convert(model, inputs, precision="fp16", optimization_level=level)
    actual, expected = engine(*(x.cuda() for x in inputs)).cpu(), model(*inputs)
    assert actual.isfinite().all()
    assert (actual - expected).abs().max() / expected.abs().max() <= 4e-3


class PartlyTurned(nn.Module):
    """Attention whose first four elements of a head are turned by their positions (GPT-NeoX)."""

    def __init__(self, length: int = 6) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(length).float(), torch.tensor([1.0, 0.1]))
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        part, rest = x[..., :4], x[..., 4:]
        a, b = part.chunk(2, -1)
        part = part * self.cos + torch.cat([-b, a], -1) * self.sin
        return torch.cat([part, rest], -1)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(self.turned(q), self.turned(k), v)


class Eager(PartlyTurned):
    """The same with products of its own, as models have it that know no other attention."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = self.turned(q) @ (self.turned(k).transpose(-1, -2) / 8**0.5)
        return scores.softmax(-1) @ v


class Cached(nn.Module):
    """Keys behind those of earlier steps, laid out as the projections give them."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys = torch.cat([v, k], 2).permute(1, 0, 3, 2)
        return q.permute(1, 0, 2, 3) @ keys


@pytest.mark.parametrize("model", [PartlyTurned(), Eager(), Cached()])
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_keys_that_were_joined(model: nn.Module, precision: str | None) -> None:
    inputs = tuple(f32(2, 3, 6, 8, seed=seed) for seed in range(3))
    engine = trtdsl.convert(model.eval(), inputs, precision=precision, optimization_level=0)
    actual, expected = engine(*(x.cuda() for x in inputs)).cpu(), model(*inputs)
    error = (actual - expected).norm() / expected.norm()
    assert error <= (1e-5 if precision is None else 4e-3)


@pytest.mark.parametrize("level", [0, 3])
@pytest.mark.parametrize("kind", turned.KINDS)
def test_attention_beside_an_mlp(kind: str, level: int) -> None:
    """Where TensorRT 8.6 adds two products, it was seen to leave out the moving of the heads."""
    torch.manual_seed(0)
    model, x = nn.Sequential(turned.Block(kind), turned.Block(kind)).eval(), f32(2, 8, 32)
    engine = trtdsl.convert(model, (x,), optimization_level=level)
    actual, expected = engine(x.cuda()).cpu(), model(x)
    assert (actual - expected).norm() / expected.norm() <= 1e-5
