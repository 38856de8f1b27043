"""``decided_slices``: what is read of as many elements as a value says, by the places counted."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.fill import Fill
from trtdsl.ir.gather import Gather
from trtdsl.ir.slice import Slice
from trtdsl.network import Network
from trtdsl.passes.decided_slices import decided_slices
from trtdsl.passes.prepared import prepared_for
from trtdsl.types import symbols


class Experts(nn.Module):
    """Tokens in the order of their experts, each expert's by a linear layer of its own (JetMoE)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(3))

    def forward(self, x: torch.Tensor, expert: torch.Tensor) -> torch.Tensor:
        order = expert.argsort(stable=True)
        counts = torch.stack([(expert == i).sum() for i in range(3)]).tolist()
        parts = x[order].split(counts)
        return torch.cat([layer(part) for layer, part in zip(self.layers, parts, strict=True)])


class Ends(nn.Module):
    """Slices, steps and repetitions whose length is read, at least 2 and at most 6."""

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> tuple[torch.Tensor, ...]:
        n = i.item()
        torch._check(n >= 2)
        torch._check(n <= 6)
        return x[:n], x[1 : n + 1], torch.arange(n) * 3 + 1, x.new_zeros(n) + n


def of_decided_sizes(network: Network) -> list[object]:
    layers = [op.layer for op in network.operations if isinstance(op.layer, Slice | Fill)]
    decided = {name for op in network.operations for name in op.layer.decides}
    return [layer for layer in layers if decided & symbols(layer.shape)]


def test_tokens_of_each_expert() -> None:
    torch.manual_seed(0)
    model, expert = Experts().eval(), torch.tensor([2, 0, 0, 2, 2, 0, 1])
    tokens = Dim("tokens", min=1, max=20)
    before = trtdsl.trace(model, (f32(7, 8), expert), dynamic_shapes=({0: tokens}, {0: tokens}))
    assert len(of_decided_sizes(before)) == 3
    network = prepared_for(before, standin.load("8.6.1"))
    assert not of_decided_sizes(network)
    for chosen in ([2, 0, 0, 2, 2, 0, 1], [1] * 5, [0, 2] * 4):
        x, expert = f32(len(chosen), 8, seed=len(chosen)), torch.tensor(chosen)
        torch.testing.assert_close(network.evaluate(x, expert), model(x, expert))


@pytest.mark.parametrize("n", [2, 4, 6])
def test_what_is_read_of_a_length_with_bounds(n: int) -> None:
    x, i = f32(8, 4), torch.tensor(n)
    network = decided_slices(trtdsl.trace(Ends().eval(), (x, i)))
    assert not of_decided_sizes(network)
    assert any(isinstance(op.layer, Gather) for op in network.operations)
    for ours, wanted in zip(answers(network.evaluate(x, i)), Ends()(x, i), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_sizes_that_are_found_otherwise_stay() -> None:
    class Found(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[torch.where(x > 0)[0]][::1]

    network = trtdsl.trace(Found().eval(), (f32(9),))
    assert decided_slices(network) is network


def test_strongly_typed_releases_keep_them() -> None:
    network = trtdsl.trace(Ends().eval(), (f32(8, 4), torch.tensor(3)))
    assert of_decided_sizes(prepared_for(network, standin.load("10.0.1")))
