"""``fold_gelu``: GELUs as models write them out, each as TensorRT's one activation."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.passes.weakly_typed import without_casts

ROOT = math.sqrt(2 / math.pi)
Function = Callable[[torch.Tensor], torch.Tensor]

# As in transformers' NewGELU, FastGELU, BLOOM and the papers' repositories.
BY_TANH: dict[str, Function] = {
    "power": lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.044715 * torch.pow(x, 3.0)))),
    "factored": lambda x: 0.5 * x * (1.0 + torch.tanh(x * 0.7978845608 * (1.0 + 0.044715 * x * x))),
    "half last": lambda x: x * (1 + torch.tanh(0.79788456 * (0.044715 * x**3 + x))) * 0.5,
    "half inside": lambda x: x * (0.5 + torch.tanh(ROOT * (x + 0.044715 * x * x * x)) / 2),
}
BY_ERF: dict[str, Function] = {
    "quotient": lambda x: x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0))),
    "product": lambda x: (x / 2) * (torch.erf(x * 0.70710678118) + 1),
}
OTHERS: dict[str, Function] = {
    "another cube": lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.05 * x**3))),
    "another half": lambda x: 0.51 * x * (1.0 + torch.tanh(ROOT * (x + 0.044715 * x**3))),
    "another power": lambda x: 0.5 * x * (1.0 + torch.tanh(ROOT * (x + 0.044715 * x**2))),
    "of another": lambda x: 0.5 * (x + 1) * (1.0 + torch.tanh(ROOT * (x + 0.044715 * x**3))),
    "tanh for erf": lambda x: x * 0.5 * (1.0 + torch.tanh(x / math.sqrt(2.0))),
    "one more": lambda x: 0.5 * x * (1.0 + torch.erf(x / math.sqrt(2.0)) + x),
}


class Bent(nn.Module):
    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x * 3)


X = f32(2, 3, 8, low=-2)


def types_of(network: trtdsl.Network) -> list[ActivationType]:
    return [op.layer.type for op in network.operations if isinstance(op.layer, Activation)]


@pytest.mark.parametrize(
    ("function", "kind"),
    [(f, ActivationType.GELU_TANH) for f in BY_TANH.values()]
    + [(f, ActivationType.GELU_ERF) for f in BY_ERF.values()],
    ids=[*BY_TANH, *BY_ERF],
)
def test_one_layer_stands_for_what_a_model_writes_out(
    function: Function, kind: ActivationType
) -> None:
    network = trtdsl.trace(Bent(function).eval(), (X,))
    assert types_of(network) == [kind]
    torch.testing.assert_close(network.evaluate(X), Bent(function)(X), rtol=1e-5, atol=1e-6)
    kinds = (ElementWise, Unary)
    assert sum(isinstance(op.layer, kinds) for op in network.operations) == 1  # by 3, in front


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("function", [BY_TANH["power"], BY_ERF["quotient"]])
def test_in_16_bits_numbers_are_rounded(function: Function, dtype: torch.dtype) -> None:
    x = X.to(dtype)
    network = trtdsl.trace(Bent(function).eval(), (x,))
    assert len(types_of(network)) == 1
    tolerance = 4 * torch.finfo(dtype).eps
    error = (network.evaluate(x).float() - Bent(function)(x.float())).norm()
    assert error / Bent(function)(x.float()).norm() <= tolerance


@pytest.mark.parametrize("function", OTHERS.values(), ids=OTHERS)
def test_what_only_looks_like_one_stays(function: Function) -> None:
    network = trtdsl.trace(Bent(function).eval(), (X,))
    kinds = {ActivationType.GELU_TANH, ActivationType.GELU_ERF}
    assert kinds.isdisjoint(types_of(network))
    torch.testing.assert_close(network.evaluate(X), Bent(function)(X), rtol=1e-5, atol=1e-6)


class Learned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x * (1.0 + torch.erf(x / math.sqrt(2.0)))


def test_a_weight_is_not_taken_for_a_number() -> None:
    """Refitting may change it."""
    network = trtdsl.trace(Learned().eval(), (X,))
    assert types_of(network) == []


def test_a_function_that_is_read_elsewhere_too_stays_for_that() -> None:
    class Both(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            bent = torch.erf(x / math.sqrt(2.0))
            return 0.5 * x * (1.0 + bent), bent

    network = trtdsl.trace(Both().eval(), (X,))
    assert types_of(network) == [ActivationType.GELU_ERF]
    assert sum(op.layer == Unary(op=UnaryOperation.ERF) for op in network.operations) == 1
    for ours, theirs in zip(network.evaluate(X), Both()(X), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_in_float16_a_release_without_the_layer_gets_its_own_pattern() -> None:
    """With a power, not products, TensorRT 8.6 makes it a part of the product's kernel."""
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(approximate="tanh"), nn.Linear(16, 4)).eval()
    network = trtdsl.trace(model, (X,), precision="fp16")
    plain = without_casts(network)
    powers = [op for op in plain.operations if op.layer == ElementWise(op=ElementWiseOperation.POW)]
    assert len(powers) == 1
    error = (plain.evaluate(X) - model(X)).norm() / model(X).norm()
    assert error <= 2e-3
    large = torch.full((1, 1, 8), 200.0)  # the cube of which leaves float16
    halves = without_casts(trtdsl.trace(Halved().eval(), (large,), precision="fp16"))
    torch.testing.assert_close(halves.evaluate(large), large)
    assert not halves.evaluate(-large).any()


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8, bias=False)
        nn.init.eye_(self.first.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.gelu(self.first(x), approximate="tanh")
