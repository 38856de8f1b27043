"""What TensorRT 8.6 found no implementation for is built as other layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._higher_order_ops.while_loop import while_loop

import trtdsl
from tests import standin
from tests.cases.base import f32
from trtdsl import build as build_module
from trtdsl.errors import BuildError
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network
from trtdsl.passes.prepared import prepared_for, reworded
from trtdsl.types import DType

SAID = "10: Could not find any implementation for node {ForeignNode[0/cast...1/element_wise]}."


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(32), nn.Linear(32, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm(x)).unflatten(-1, (3, 2, 16)).permute(2, 0, 3, 1, 4).unbind(0)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def prepared(model: nn.Module, precision: str | None = "fp16") -> Network:
    network = trtdsl.trace(model.eval(), (f32(2, 7, 32),), precision=precision)
    return prepared_for(network, standin.load("8.6.1"))


def negatives(network: Network) -> int:
    return [op.layer for op in network.operations].count(Unary(op=UnaryOperation.NEG))


def test_the_same_in_other_words() -> None:
    torch.manual_seed(0)
    model = Attention()
    before = prepared(model)
    other = reworded(before)
    assert (negatives(before), negatives(other)) == (0, 4)
    (norm,) = (op for op in other.operations if isinstance(op.layer, Normalization))
    assert {x.dtype for x in (*norm.inputs, *norm.outputs)} == {DType.FLOAT32}
    assert [y.type for y in other.outputs] == [y.type for y in before.outputs]
    x = f32(2, 7, 32)
    torch.testing.assert_close(other.evaluate(x), model(x), rtol=4e-3, atol=4e-3)
    assert negatives(reworded(other)) == 4


class Residual(nn.Module):
    """Products with weights that are added to something, to a bias, and to each other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(32, 32, bias=False), nn.Linear(32, 32)
        self.c, self.d = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * 0.5 + self.a(x)
        return self.c(x).relu() + self.b(x) + self.d(x)


def test_products_that_are_added_to_something() -> None:
    torch.manual_seed(0)
    model, x = Residual().eval(), f32(2, 7, 32)
    before = prepared(model, None)
    other = reworded(before)
    assert (negatives(before), negatives(other)) == (0, 2)
    turned = [op for op in other.operations if op.layer == Unary(op=UnaryOperation.NEG)]
    assert [op.source.module for op in turned] == ["a", "d"]
    torch.testing.assert_close(other.evaluate(x), before.evaluate(x), rtol=0, atol=0)
    torch.testing.assert_close(other.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


def test_there_are_no_other_words_for_an_mlp() -> None:
    network = prepared(nn.Sequential(nn.Linear(32, 8), nn.ReLU()))
    assert reworded(network) is network


def test_nor_for_a_loop_of_what_has_none() -> None:
    class Summed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            (last,) = while_loop(
                lambda total: total.sum() < 100.0, lambda total: (total * 2,), (x.exp(),)
            )
            return last

    network = prepared(Summed(), None)
    assert any(op.layer.networks for op in network.operations)
    assert reworded(network) is network


def attempts(failures: list[str]) -> tuple[list[Network], Callable[[Network], Any]]:
    """A builder that fails with these messages, one an attempt."""
    tried: list[Network] = []

    def build(network: Network) -> Any:
        tried.append(network)
        if failures:
            raise BuildError(failures.pop(0))
        return "plan"

    return tried, build


def test_a_second_attempt(building: Callable[[str], Any], caplog: pytest.LogCaptureFixture) -> None:
    building("8.6.1")
    network = prepared(Attention())
    tried, build = attempts([SAID])
    other, plan = build_module._attempted(network, build)
    assert plan == "plan"
    assert tried == [network, other]
    assert negatives(other) == 4
    assert "built as other layers" in caplog.text


@pytest.mark.parametrize(
    ("version", "failures", "attempted"),
    [
        ("8.6.1", ["out of memory"], 1),
        ("8.6.1", [SAID, SAID], 2),
        ("10.0.1", [SAID], 1),
    ],
)
def test_what_stays_an_error(
    version: str, failures: list[str], attempted: int, building: Callable[[str], Any]
) -> None:
    building(version)
    tried, build = attempts(failures)
    with pytest.raises(BuildError, match=failures[0][:12]):
        build_module._attempted(prepared(Attention()), build)
    assert len(tried) == attempted


def test_without_other_words_there_is_one_attempt(building: Callable[[str], Any]) -> None:
    building("8.6.1")
    tried, build = attempts([SAID])
    with pytest.raises(BuildError):
        build_module._attempted(prepared(nn.Linear(32, 8)), build)
    assert len(tried) == 1
