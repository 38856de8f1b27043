"""What detectors compute before their values decide anything."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.gpu.decisions import undecided
from tests.gpu.reduction import cut
from trtdsl.tree import flatten


class Detector(nn.Module):
    """Scores above a threshold, the best of them, and what their boxes are."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.box = nn.Linear(8, 1), nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores, boxes = self.score(x).squeeze(-1).sigmoid(), self.box(x)
        kept = torch.where(scores > 0.3)[0]
        best = scores[kept].topk(1).indices
        return scores[kept][best], boxes[kept][best]


def test_scores_before_they_are_compared() -> None:
    torch.manual_seed(0)
    model, x = Detector().eval(), f32(6, 8)
    network = trtdsl.trace(model, (x,))
    found = undecided(network)
    assert len(found) == 1
    (scores,) = flatten(cut(network, list(found.values())).evaluate(x))[0]
    torch.testing.assert_close(scores, model.score(x).squeeze(-1).sigmoid())


def test_where_nothing_is_decided() -> None:
    assert not undecided(trtdsl.trace(nn.Linear(8, 3).eval(), (f32(2, 8),)))
