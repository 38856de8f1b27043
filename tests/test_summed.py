"""``with_sums``: plugins that are given both summands of what they read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
import trtdsl.plugins
from tests.cases.base import f32
from tests.plugins.shipped import HALF
from tests.test_in_rows import Encoder, of
from tests.test_ir import assert_close
from tests.test_prepared import prepared
from trtdsl import registry
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.network import Network
from trtdsl.passes.summed import with_sums
from trtdsl.plugins.gelu import Gelu
from trtdsl.plugins.layer_norm import LayerNorm
from trtdsl.types import DType

pytestmark = pytest.mark.usefixtures("preferred")

SUM = ElementWise(op=ElementWiseOperation.SUM)


@pytest.fixture
def preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    """Norms and GELUs by our plugins, for one test."""
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    trtdsl.plugins.prefer("normalization", "gelu")


class Residual(nn.Module):
    """A product, and what a function makes of it, the residual and a norm."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear, self.norm, self.function = nn.Linear(24, 24), nn.LayerNorm(24), function

    def forward(self, x: torch.Tensor, *rest: torch.Tensor) -> Any:
        return self.function(self.linear(x), self.norm, self.linear(x.sin()), *rest)


def twice(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    s = x + y
    result: torch.Tensor = s + norm(s)
    return result


def after(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = norm(x + y)
    return result


def before(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    s = x + y
    early = s.relu()
    result: torch.Tensor = norm(s) * early + s
    return result


def chained(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    s = x + y
    t = s + norm(s)
    result: torch.Tensor = norm(t) - t
    return result


def shared(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = norm(x + y) + y.cos() + x.exp()
    return result


def doubled(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = norm(y + y) + x
    return result


def repeated(y: torch.Tensor, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = norm(y[:, :1] + x)
    return result


# Whether the plugin adds, a bias too, and gives the sum.
FORMS: dict[str, tuple[Callable[..., Any], list[tuple[bool, bool, bool]]]] = {
    "and others": (twice, [(True, True, True)]),
    "nobody else": (after, [(True, True, False)]),
    "others before": (before, [(True, True, True)]),
    "one after the other": (chained, [(True, True, True), (True, False, True)]),
    "summands that others read": (shared, [(True, False, False)]),
    "one tensor twice": (doubled, [(True, False, False)]),
    "one row for all": (repeated, [(False, False, False)]),
}


def kinds(network: Network) -> list[tuple[bool, bool, bool]]:
    found = (op.layer for op in network.operations if isinstance(op.layer, LayerNorm))
    return [(layer.summed, layer.offset, layer.keeps_sum) for layer in found]


@pytest.mark.parametrize("name", FORMS)
def test_sums_are_left_to_what_reads_them(name: str) -> None:
    function, wanted = FORMS[name]
    torch.manual_seed(0)
    module, x = Residual(function).eval(), f32(2, 5, 24)
    network = trtdsl.trace(module, (x,), precision="fp16")
    assert kinds(network) == [(False, False, False)] * len(wanted)
    added = with_sums(network)
    assert kinds(added) == wanted
    answers, expected = added.evaluate(x), module(x)
    pairs = zip(*(t if isinstance(t, tuple) else (t,) for t in (answers, expected)), strict=True)
    for actual, one in pairs:
        assert_close(actual.float(), one, 2 * HALF)


def test_a_sum_that_is_an_output_stays() -> None:
    net = Network()
    x, y = (net.input(name, (2, 3, 8), DType.FLOAT16) for name in "xy")
    total = x + y
    scale, bias = (net.constant(f32(1, 1, 8, seed=i).half()) for i in range(2))
    net.output(LayerNorm(width=8)(total, scale, bias), "norm")
    net.output(total, "sum")
    given = f32(2, 3, 8).half(), f32(2, 3, 8, seed=1).half()
    added = with_sums(net)
    assert kinds(added) == [(True, False, True)]
    for actual, wanted in zip(added.evaluate(*given), net.evaluate(*given), strict=True):
        assert_close(actual.float(), wanted.float(), HALF)


def test_a_network_without_plugins_is_as_it_was() -> None:
    network = trtdsl.trace(Residual(twice).eval(), (f32(2, 5, 24),))
    assert not kinds(network), "in float32 they are layers"
    assert with_sums(network) is network


def test_an_encoder_has_no_sums_left() -> None:
    torch.manual_seed(0)
    model, x = Encoder().eval(), f32(2, 5, 16)
    ready = prepared(trtdsl.trace(model, (x,), precision="fp16"))
    assert len(of(ready, LayerNorm)) == 4, "the first one reads float32"
    assert len(of(ready, Gelu)) == 2
    sums = [op for op in ready.operations if op.layer == SUM and not op.outputs[0].is_constant]
    assert len(sums) == 2 * 3 + 2, "of queries, keys and values, of positions, and of the head"
    ranks = {op.inputs[0].rank for op in of(ready, LayerNorm)}
    assert ranks == {2}, "rows are a matrix"
    for actual, wanted in zip(ready.evaluate(x), model(x), strict=True):
        assert_close(actual.float(), wanted, 2 * HALF)


def test_sizes_that_vary() -> None:
    torch.manual_seed(0)
    model = Encoder().eval()
    model.places = nn.Parameter(f32(1, 1, 16))
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=64)}
    network = trtdsl.trace(model, (f32(2, 5, 16),), dynamic_shapes=(sizes,), precision="fp16")
    ready = prepared(network)
    assert kinds(ready) == [(True, True, True)] * 3 + [(True, True, False)]
    for shape in ((1, 2, 16), (8, 33, 16)):
        x = f32(*shape)
        for actual, wanted in zip(ready.evaluate(x), model(x), strict=True):
            assert_close(actual.float(), wanted, 2 * HALF)


def test_norms_that_the_kernel_does_not_take() -> None:
    """Of several axes, of widths that are no multiples of 8, by weights that an input reaches."""

    class Odd(nn.Module):
        def forward(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
            y = F.layer_norm(x, (3, 24)) + F.layer_norm(x[..., :9], (9,)).sum()
            return y + F.layer_norm(x, (24,), weight)

    x, weight = f32(4, 3, 24), f32(24, seed=1)
    network = trtdsl.trace(Odd().eval(), (x, weight))
    assert not kinds(network)
    assert_close(network.evaluate(x, weight), Odd()(x, weight), 2e-6)
