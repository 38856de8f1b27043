"""What no converter computes and only weights reach, computed once by PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.standin.refitting import engine_of
from tests.test_ir import answers
from tests.test_refit import lowered
from trtdsl.errors import RunError, UnsupportedError
from trtdsl.weights.recording import base_state
from trtdsl.weights.refit import Refitting


class Factors(nn.Module):
    """A model that factors a parameter, and gives one of the factors too."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(f32(3))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        values = torch.linalg.svdvals(self.weight)
        y = x @ torch.linalg.pinv(self.weight) + values.sum()
        return y[:, :3] + self.bias, torch.linalg.qr(self.weight)[1]


def held_orthogonal() -> nn.Module:
    return nn.utils.parametrizations.orthogonal(nn.Linear(8, 8))


@pytest.mark.parametrize(
    ("model", "x"), [(Factors(f32(5, 3)), f32(2, 3)), (held_orthogonal(), f32(2, 8))]
)
def test_what_weights_alone_decide_is_computed(model: nn.Module, x: torch.Tensor) -> None:
    shapes = ({0: Dim("rows", min=1, max=9)},)
    network = trtdsl.trace(model.eval(), (x,), dynamic_shapes=shapes)
    for given in (x, torch.cat([x, 2 * x])):
        pairs = zip(answers(network.evaluate(given)), answers(model(given)), strict=True)
        for y, wanted in pairs:
            torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)
    assert trtdsl.check(model, (x,)).ok


@pytest.mark.parametrize(
    ("body", "operator"),
    [
        (lambda weight, x: torch.linalg.svdvals(x + weight), "svd"),
        (lambda weight, x: x + torch.bernoulli(weight.sigmoid()), "aten.rand"),
        (lambda weight, x: x + torch.linalg.ldl_factor(weight[:, :2])[0].sum(), "ldl_factor"),
    ],
)
def test_what_is_not_is_listed(body: Callable[..., torch.Tensor], operator: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", f32(3, 3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return body(self.weight, x)

    with pytest.raises((UnsupportedError, trtdsl.ConversionError), match=operator):
        trtdsl.trace(Model().eval(), (f32(3, 3),))


def test_a_refit_cannot_change_them(building: Callable[[str], Any]) -> None:
    building("10.3.0")
    model = Factors(f32(5, 3)).eval()
    network = trtdsl.trace(model, (f32(2, 3),))
    before, recipes = lowered(network, "10.3.0")
    refitting = Refitting(recipes, base_state(network))
    refitting.apply(engine_of(before), {**model.state_dict(), "bias": torch.ones(3)})
    with pytest.raises(RunError, match="weight in what the layers are, which its value decided"):
        refitting.apply(engine_of(before), {"weight": f32(5, 3, seed=1)})
