"""Writes at a place that a tensor of no axes names: caches of keys, greedy loops, suppression."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32


class Writing(nn.Module):
    def __init__(self, index: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.index = index

    def forward(self, x: torch.Tensor, at: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[self.index(at)] = value
        return x


INDICES: dict[str, tuple[Callable[[torch.Tensor], Any], tuple[int, ...]]] = {
    "first": (lambda at: at, (3, 4, 5)),
    "second": (lambda at: (slice(None), at), (2, 4, 5)),
    "last": (lambda at: (..., at), (2, 3, 4)),
    "before the last": (lambda at: (..., at, slice(None)), (2, 3, 5)),
    "beside a number": (lambda at: (1, at), (4, 5)),
    "beside a part": (lambda at: (slice(0, 2), slice(1, 3), at), (2, 2, 5)),
    "behind a new axis": (lambda at: (None, slice(None), at), (1, 2, 4, 5)),
    "before a new axis": (lambda at: (slice(None), at, None), (2, 1, 4, 5)),
}


@pytest.mark.parametrize("name", INDICES)
@pytest.mark.parametrize("broadcast", [False, True])
def test_writes_at_a_place_that_an_input_names(name: str, broadcast: bool) -> None:
    index, shape = INDICES[name]
    value = f32(*shape[-1:] if broadcast else shape, seed=1)
    model, x = Writing(index).eval(), f32(2, 3, 4, 5)
    network = trtdsl.trace(model, (x, torch.tensor(0), value))
    for at in (0, 1, -1):
        place = torch.tensor(at)
        assert torch.equal(network.evaluate(x, place, value), model(x, place, value))


def test_a_number_is_written_at_the_largest() -> None:
    class Suppressing(nn.Module):
        def forward(self, scores: torch.Tensor) -> torch.Tensor:
            scores = scores.clone()
            for _ in range(2):
                scores[scores.argmax()] = -1.0
            return scores

    scores = f32(7)
    network = trtdsl.trace(Suppressing().eval(), (scores,))
    assert torch.equal(network.evaluate(scores), Suppressing()(scores))
