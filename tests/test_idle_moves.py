"""Reshapes and transpositions that change nothing are left out; others stay."""

from __future__ import annotations

import pytest
import torch

from tests.cases.base import f32
from trtdsl.ir.shuffle import Shuffle
from trtdsl.network import Network, Tensor
from trtdsl.passes.idle_moves import without_idle_moves

IDLE = {
    "the same shape": lambda x: Shuffle(reshape_dims=(6, 20))(x),
    "there and back": lambda x: x.reshape(2, 3, 20).reshape(120).reshape(6, 20),
    "the same order": lambda x: Shuffle(first_transpose=(0, 1))(x),
    "turned twice": lambda x: x.permute(1, 0).permute(1, 0),
    "heads in front and behind again": lambda x: (
        x.reshape(2, 3, 4, 5).permute(0, 2, 1, 3).permute(0, 2, 1, 3).reshape(6, 20)
    ),
}
KEPT = {
    "turned once": lambda x: x.permute(1, 0),
    "turned twice, another way": lambda x: (
        x.reshape(2, 3, 4, 5).permute(1, 2, 0, 3).permute(1, 2, 0, 3).reshape(6, 20)
    ),
    "a reshape between": lambda x: x.permute(1, 0).reshape(6, 20),
    "shapes of other elements": lambda x: x.reshape(20, 6).permute(1, 0),
}


def network(moves: object, *, dynamic: bool = False) -> Network:
    net = Network()
    shape = (net.dim("n", min=1, opt=6, max=9), 20) if dynamic else (6, 20)
    x = net.input("x", shape)
    y = moves(x * 2.0)  # type: ignore[operator]
    assert isinstance(y, Tensor)
    net.output(y + 1.0, "y")
    return net


def moves_of(net: Network) -> list[Shuffle]:
    layers = [op.layer for op in net.operations if not op.outputs[0].is_constant]
    return [layer for layer in layers if isinstance(layer, Shuffle)]


@pytest.mark.parametrize("name", IDLE)
def test_what_changes_nothing_is_left_out(name: str) -> None:
    before = network(IDLE[name])
    after = without_idle_moves(before)
    assert moves_of(before)
    assert not moves_of(after)
    x = f32(6, 20)
    assert torch.equal(after.evaluate(x), before.evaluate(x))


@pytest.mark.parametrize("name", KEPT)
def test_what_changes_something_stays(name: str) -> None:
    before = network(KEPT[name])
    after = without_idle_moves(before)
    assert moves_of(after) == moves_of(before)
    x = f32(6, 20)
    assert torch.equal(after.evaluate(x), before.evaluate(x))


def test_an_output_that_is_an_input_moved_there_and_back() -> None:
    net = Network()
    net.output(net.input("x", (6, 20)).reshape(120).reshape(6, 20), "y")
    after = without_idle_moves(net)
    x = f32(6, 20)
    assert [y.name for y in after.outputs] == ["y"]
    assert torch.equal(after.evaluate(x), x)


def test_sizes_that_vary() -> None:
    before = network(lambda x: x.reshape(x.shape[0], 4, 5).reshape(x.shape[0], 20), dynamic=True)
    after = without_idle_moves(before)
    assert moves_of(before)
    assert not moves_of(after)
    x = f32(4, 20)
    assert torch.equal(after.evaluate(x), before.evaluate(x))
