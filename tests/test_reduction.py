"""The search for the smallest part of a network that fails."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
import torch
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.gpu.reduction import Cut, Part, Tries, cut, part_of, smallest, tried
from tests.test_turned import Block
from trtdsl.ir.attention import Attention
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Network


def traced() -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    length = Dim("length", min=1, max=64)
    x = f32(2, 8, 32)
    return trtdsl.trace(Block().eval(), (x,), dynamic_shapes=({1: length},)), x


def kinds(network: Network) -> list[type]:
    return [type(op.layer) for op in network.operations]


def tries(network: Network, x: torch.Tensor, fails: Callable[[Part], bool]) -> Tries:
    return lambda places: [fails(part_of(network, [x], place)) for place in places]


def test_one_layer_is_found_and_computes_what_it_did() -> None:
    network, x = traced()
    (named,) = [op for op in network.operations if isinstance(op.layer, Attention)]

    def fails(part: Part) -> bool:
        return named.name in {op.name for op in part.network.operations}

    part = part_of(network, [x], smallest(network, tries(network, x, fails)))
    moving = [op for op in part.network.operations if not op.outputs[0].is_constant]
    assert [op.name for op in moving] == [named.name]
    expected = cut(network, named.outputs).evaluate(x)
    torch.testing.assert_close(part.network.evaluate(*part.inputs), expected)


def test_what_takes_two_layers_keeps_both() -> None:
    network, x = traced()

    def fails(part: Part) -> bool:
        return kinds(part.network).count(MatrixMultiply) >= 2

    part = part_of(network, [x], smallest(network, tries(network, x, fails)))
    assert kinds(part.network).count(MatrixMultiply) == 2
    assert len(part.network.operations) <= len(network.operations) / 2


def test_a_network_that_does_not_fail() -> None:
    network, x = traced()
    with pytest.raises(ValueError, match="the whole network does not fail"):
        smallest(network, tries(network, x, lambda _: False))


def test_what_is_tried_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends by an error of Python was not tried."""
    assert Cut.parse(str(Cut(end=8, start=3, output=1))) == Cut(end=8, start=3, output=1)
    monkeypatch.setattr(sys, "argv", ["reduction", "no such model", "fp32"])
    with pytest.raises(RuntimeError, match="could not be tried"):
        tried([Cut(end=3)])
