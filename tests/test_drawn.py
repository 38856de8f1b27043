"""Random operators: refused with what to do, unless nobody reads what they draw."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn import functional

import trtdsl
from tests.cases.base import f32
from trtdsl.errors import TrtdslError

X = f32(4, 6)


class Call(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.rand(4, 6),
        lambda x: x + torch.randn(x.shape),
        lambda x: x + torch.randn_like(x),
        lambda x: torch.rand_like(x),
        lambda x: x + torch.randint(0, 5, (4, 6)),
        lambda x: x[torch.randperm(4)],
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: torch.normal(x, 1.0),
        lambda x: torch.empty_like(x).uniform_() + x,
        lambda x: torch.multinomial(x.softmax(-1), 2),
        lambda x: torch.poisson(x.exp()),
        lambda x: functional.gumbel_softmax(x),
        lambda x: functional.dropout(x, 0.5, True),
        lambda x: functional.rrelu(x, training=True),
    ],
)
def test_random_numbers_are_refused(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    with pytest.raises(
        TrtdslError, match=r"random numbers(.|\n)*(pass them as an input|fix: call)"
    ):
        trtdsl.trace(Call(function).eval(), (X,))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (torch.randn_like(x), x * 2)[1],
        lambda x: x + torch.zeros_like(torch.randn(x.shape)),
        lambda x: x * torch.ones_like(torch.rand_like(x)),
        lambda x: x + torch.randint(0, 5, x.shape).new_zeros(6),
        lambda x: x * torch.full_like(torch.normal(x, 1.0), 3),
    ],
)
def test_random_numbers_that_nobody_reads(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    shapes = {"x": {0: Dim("batch", min=1, max=8)}}
    network = trtdsl.trace(Call(function).eval(), (X,), dynamic_shapes=shapes)
    for x in (X, f32(7, 6)):
        torch.testing.assert_close(network.evaluate(x), function(x))
