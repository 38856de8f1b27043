"""Outputs of ``precision="fp16"`` that are not rounded to 16 bits in their last step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.cast import Cast
from trtdsl.ir.shuffle import Shuffle
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Tensor

X = f32(3, 4, 16)


class Ending(nn.Module):
    """A linear layer, and what comes after it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.linear, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)
        self.scale = nn.Parameter(f32(16, low=0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        y = self.linear(x)
        match self.kind:
            case "scaled":
                return y.relu() * self.scale
            case "moved":
                return (y.relu() * self.scale).transpose(1, 2)[:, 1:]
            case "norm":
                return self.norm(y)
            case "softmax":
                return y.softmax(-1).transpose(1, 2)
            case "twice":
                z = y.relu() * self.scale
                return z, self.linear(z)
            case "pooled":
                z = self.norm(y)
                return z, z[:, 0]
            case "halved":
                return (y.relu() * self.scale).half().float()
        return y.transpose(1, 2)


def is_rounded(y: Tensor) -> bool:
    """Whether an output was of 16 bits before it was moved and widened."""
    while y.producer is not None and isinstance(y.producer.layer, Cast | Shuffle | Slice):
        y = y.producer.inputs[0]
        if y.dtype.itemsize == 2:
            return True
    return False


def traced(kind: str, precision: str = "fp16") -> tuple[nn.Module, Network]:
    torch.manual_seed(0)
    model = Ending(kind).eval()
    return model, trtdsl.trace(model, (X,), precision=precision)


@pytest.mark.parametrize("kind", ["scaled", "moved", "norm", "softmax", "pooled"])
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_the_last_step_is_in_float32(kind: str, precision: str) -> None:
    model, network = traced(kind, precision)
    assert not any(is_rounded(y) for y in network.outputs)
    ours, want = answers(network.evaluate(X))[-1], answers(model(X))[-1]
    tolerance = 2e-3 if precision == "fp16" else 2e-2
    torch.testing.assert_close(ours, want, rtol=tolerance, atol=tolerance)
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    assert not torch.equal(ours, ours.to(half).float())


@pytest.mark.parametrize("kind", ["product", "halved"])
def test_products_and_what_the_model_rounds_are_rounded(kind: str) -> None:
    model, network = traced(kind)
    ours = answers(network.evaluate(X))[0]
    torch.testing.assert_close(ours, ours.half().float(), rtol=0, atol=0)
    torch.testing.assert_close(ours, model(X), rtol=2e-3, atol=2e-3)


def test_what_is_read_again_is_rounded() -> None:
    model, network = traced("twice")
    assert [is_rounded(y) for y in network.outputs] == [True, True]
    for ours, wanted in zip(answers(network.evaluate(X)), model(X), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=4e-3, atol=4e-3)


def test_the_models_own_halves_stay() -> None:
    model = Ending("halved").eval()
    network = trtdsl.trace(model, (X,))
    torch.testing.assert_close(network.evaluate(X), model(X), rtol=1e-5, atol=1e-5)
    assert network.evaluate(X).equal(network.evaluate(X).half().float())
