"""Two transpositions around a reshape that joins axes become one; others stay two."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from trtdsl.ir.shuffle import transposes
from trtdsl.network import Network, Tensor
from trtdsl.passes.one_order import in_one_order
from trtdsl.passes.prepared import prepared_for

JOINED = {
    "heads": lambda x: x.permute(0, 2, 1, 3).reshape(2, 4, 15).permute(0, 2, 1),
    "ones": lambda x: x.permute(0, 2, 1, 3).reshape(2, 1, 4, 15, 1).permute(4, 2, 3, 1, 0),
    "in front and behind": lambda x: x.permute(3, 0, 2, 1).reshape(10, 12).permute(1, 0),
}
APART = {
    "split again": lambda x: x.permute(0, 2, 1, 3).reshape(2, 2, 30).permute(0, 2, 1),
    "ordered once": lambda x: x.reshape(2, 12, 5).permute(0, 2, 1),
    "at once": lambda x: x.permute(0, 2, 1, 3).permute(0, 3, 1, 2),
}


def network(moves: object) -> Network:
    net = Network()
    y = moves(net.input("x", (2, 3, 4, 5)) * 2.0)  # type: ignore[operator]
    assert isinstance(y, Tensor)
    net.output(y + 1.0, "y")
    return net


def turns(network: Network) -> int:
    return sum(transposes(op.layer) for op in network.operations)


@pytest.mark.parametrize("name", JOINED)
def test_two_orders_become_one(name: str) -> None:
    before = network(JOINED[name])
    after = in_one_order(before)
    assert (turns(before), turns(after)) == (2, 1)
    x = f32(2, 3, 4, 5)
    assert torch.equal(after.evaluate(x), before.evaluate(x))


@pytest.mark.parametrize("name", APART)
def test_others_stay(name: str) -> None:
    before = network(APART[name])
    assert str(in_one_order(before)) == str(before)


class Windows(nn.Module):
    """What ConvBERT's attention reads: each token's neighbours, as rows of a matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(f32(36, 8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        images = x.transpose(1, 2).unsqueeze(-1)
        windows = F.unfold(images, (9, 1), padding=(4, 0))
        return windows.transpose(1, 2).reshape(-1, 36) @ self.weight


def test_windows_of_a_length_that_varies() -> None:
    x, length = f32(2, 7, 4), Dim("length", min=2, max=20)
    model = Windows().eval()
    plain = trtdsl.trace(model, (x,), dynamic_shapes=({1: length},))
    ready = prepared_for(plain, standin.load("8.6.1"))
    assert turns(ready) == turns(plain) - 1
    for size in (7, 2, 13):
        x = f32(2, size, 4, seed=size)
        torch.testing.assert_close(ready.evaluate(x), model(x), rtol=1e-5, atol=1e-5)
