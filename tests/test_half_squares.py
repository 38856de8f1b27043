"""``trtdsl.passes.half_squares``: roots of sums of squares that stay within float16."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Network
from trtdsl.passes.half_squares import scaled_squares
from trtdsl.types import DType


class Deviation(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.std(-1, unbiased=False)


class Unit(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.normalize(x, dim=1)


class Rms(nn.Module):
    """As language models write it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)


class Halved(nn.Module):
    """A module behind a product in float16."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.first = nn.Linear(12, 12, bias=False)
        nn.init.eye_(self.first.weight)
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.inner(self.first(x))
        return y


def all_values(network: Network, x: torch.Tensor) -> list[torch.Tensor]:
    """Every float that the network computes."""
    inner = [o.outputs[0] for o in network.operations if o.outputs[0].dtype.is_float]
    for i, y in enumerate(y for y in inner if y not in network.outputs and not y.is_constant):
        network.output(y, f"inner{i}")
    return list(network.evaluate(x))


@pytest.mark.parametrize("model", [Deviation(), Unit(), Rms(), nn.RMSNorm(12, 1e-5)], ids=str)
def test_large_numbers(model: nn.Module) -> None:
    x = f32(5, 12) * 4000
    x[1] = 0
    x[2] *= 1e-8
    whole = Halved(model).eval()
    network = trtdsl.trace(whole, (x,), precision="fp16")
    scaled = scaled_squares(network)
    torch.testing.assert_close(
        scaled.evaluate(x), network.evaluate(x), rtol=1e-5, atol=1e-6, equal_nan=True
    )
    network.output_tree = scaled.output_tree = None
    # A row of zeros is no number where PyTorch's float16 has none either.
    before, after = (
        max(float(v.nan_to_num().abs().max()) for v in all_values(each, x))
        for each in (network, scaled)
    )
    assert before > 65504 > after


def test_networks_without_float16_stay() -> None:
    network = trtdsl.trace(Rms().eval(), (f32(3, 12),))
    assert scaled_squares(network) is network


class Learned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.tensor(1e-3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.epsilon)


def test_an_epsilon_that_a_refit_may_change_stays_a_weight() -> None:
    network = trtdsl.trace(Halved(Learned()).eval(), (f32(3, 12),), precision="fp16")
    assert "inner.epsilon" in str(scaled_squares(network))


def test_infinities_stay_what_they_are() -> None:
    net = Network()
    x = net.input("x", (3, 4))
    half = x.cast(DType.FLOAT16)
    wide = half.cast(DType.FLOAT32)
    total = Reduce(op=ReduceOperation.SUM, axes=(1,))(wide * wide)
    net.output(Unary(op=UnaryOperation.SQRT)(total), "norm")
    values = f32(3, 4)
    values[0, 1], values[1, 2] = -torch.inf, torch.nan
    scaled = scaled_squares(net)
    assert len(scaled.operations) > len(net.operations)
    torch.testing.assert_close(scaled.evaluate(values), net.evaluate(values), equal_nan=True)
    assert scaled.evaluate(values)[0].isposinf()
