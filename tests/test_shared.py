"""What several modules compute alike is computed once, and nothing else is touched."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.nonzero import NonZero
from trtdsl.network import Network
from trtdsl.passes.shared import shared
from trtdsl.types import TensorType


def kinds(network: Network) -> Counter[str]:
    return Counter(operation.layer.kind for operation in network.operations)


class Masked(nn.Module):
    """Two attentions of one mask."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        allowed = mask[:, None, None, :] > 0
        for layer in self.layers:
            y = layer(x).unflatten(-1, (2, 4)).transpose(1, 2)
            z = nn.functional.scaled_dot_product_attention(y, y, y, attn_mask=allowed)
            x = x + z.transpose(1, 2).flatten(2)
        return x


def test_attentions_of_one_mask_ask_once_which_queries_attend() -> None:
    torch.manual_seed(0)
    model, mask = Masked().eval(), torch.tensor([[1, 1, 0], [0, 0, 0]])
    network = trtdsl.trace(model, (f32(2, 3, 8), mask))
    found = kinds(network)
    assert (found["attention"], found["reduce"]) == (2, 1)
    x = f32(2, 3, 8, seed=1)
    torch.testing.assert_close(network.evaluate(x, mask), model(x, mask), rtol=1e-5, atol=1e-6)


def test_equal_layers_of_equal_constants_are_one() -> None:
    net = Network()
    x = net.input("x", (3,))
    doubled = [x * 2.0 + 1.0 for _ in range(3)]
    other = x * 2.5
    net.output(doubled[0] + doubled[1], "sum")
    net.output(doubled[2], "same")
    net.output(other, "other")
    smaller = shared(net)
    assert kinds(smaller)["element_wise"] == 4  # two products, a sum with 1, one of both
    assert [y.name for y in smaller.outputs] == ["sum", "same", "other"]
    value = torch.tensor([1.0, -2.0, 0.5])
    for ours, theirs in zip(smaller.evaluate(value), net.evaluate(value), strict=True):
        assert torch.equal(ours, theirs)


def test_outputs_that_are_one_value_stay_apart() -> None:
    net = Network()
    x = net.input("x", (3,))
    for name in ("a", "b"):
        net.output(Activation(type=ActivationType.RELU)(x), name)
    smaller = shared(net)
    assert len(smaller.outputs) == len(set(smaller.outputs)) == 2
    assert kinds(smaller) == {"activation": 1, "identity": 1}


@dataclass(frozen=True, kw_only=True)
class Counted(trtdsl.Plugin):
    """A plugin that may be anything."""

    def infer(self, x: TensorType) -> TensorType:
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def run(self, *_: object, **__: object) -> None:
        raise AssertionError


def test_plugins_and_what_decides_sizes_are_left_alone() -> None:
    net = Network()
    x = net.input("x", (3,))
    net.output(Counted()(x) + Counted()(x), "y")
    above = x > 0.0
    for name in ("a", "b"):
        net.output(NonZero(count=net.unknown(max=3))(above), name)
    found = kinds(shared(net))
    assert (found["counted"], found["non_zero"]) == (2, 2)


@dataclass(frozen=True, kw_only=True)
class Listed(Activation):
    """A layer with an attribute that has no hash."""

    names: list[str]


def test_layers_that_cannot_be_compared_are_left_alone() -> None:
    net = Network()
    x = net.input("x", (3,))
    for name in ("a", "b"):
        net.output(Listed(type=ActivationType.RELU, names=["one"])(x), name)
    assert kinds(shared(net))["listed"] == 2


def test_zeros_of_both_signs_and_dtypes_stay_apart() -> None:
    net = Network()
    x = net.input("x", (2,))
    for name, number in (("a", 0.0), ("b", -0.0)):
        net.output(x * net.constant([number, number]), name)
    assert kinds(shared(net))["element_wise"] == 2
