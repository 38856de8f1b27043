"""What models demand of values: where the other answer is an error, there is one path."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import trtdsl
from tests import demanding as d
from tests.cases.base import f32
from trtdsl.errors import ConversionError


class Demands(nn.Module):
    def __init__(self, check: Callable[[torch.Tensor], object]) -> None:
        super().__init__()
        self.check = check

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.check(x)
        return x * 2


DEMANDS = [
    d.with_a_message, d.both, d.negated, d.between, d.raised, d.raised_otherwise, d.counted,
    d.distinct,
]  # fmt: skip
CHOICES = [
    d.chosen, d.returned, d.either, d.both_raise, d.not_between, d.left, d.caught,
    d.caught_by_a_caller,
]  # fmt: skip


@pytest.mark.parametrize("check", DEMANDS)
def test_a_model_goes_on_as_with_inputs_that_it_takes(
    check: Callable[[torch.Tensor], None],
) -> None:
    model, x = Demands(check).eval(), f32(3, 4)
    with pytest.warns(trtdsl.UncheckedWarning, match=rf"demanding\.py:\d+, {check.__name__}: "):
        network = trtdsl.trace(model, (x,))
    for given in (x, f32(3, 4, seed=1)):
        torch.testing.assert_close(network.evaluate(given), model(given))


@pytest.mark.parametrize("check", CHOICES)
def test_what_leaves_a_choice_is_refused(check: Callable[[torch.Tensor], object]) -> None:
    with pytest.raises(ConversionError, match="data-dependent"):
        trtdsl.trace(Demands(check).eval(), (f32(3, 4),))


def test_a_demand_that_the_example_does_not_meet_is_the_model_s_own_error() -> None:
    with pytest.raises(ConversionError, match=r"itself fails with the example inputs(.|\n)*too sm"):
        trtdsl.trace(Demands(d.with_a_message).eval(), (f32(3, 4) - 100,))


def test_a_warning_may_be_an_error() -> None:
    with pytest.raises(trtdsl.UncheckedWarning, match="the model refuses inputs"):
        trtdsl.trace(Demands(d.with_a_message).eval(), (f32(3, 4),))


def test_a_demand_of_the_state_is_looked_at() -> None:
    x = f32(3)
    assert trtdsl.trace(d.Checked().eval(), (x,)).settled.keys() == {"scale"}
