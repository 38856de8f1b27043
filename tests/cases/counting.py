"""Rows of ``layers/counting.py``."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from tests.cases.base import Case, f16, f32, i32, i64

aten = torch.ops.aten
NAN, INF = float("nan"), float("inf")
SORTED = torch.tensor([-1.5, -0.5, -0.5, 0.0, 0.75, 2.0])
ROWS = f32(3, 6).sort(1).values
EDGES = torch.tensor([-0.5, 0.0, 2.0, 2.5, -9.0, NAN, INF, -INF])
WHOLE = torch.tensor([-4, -1, 0, 0, 3])
REPEATS = torch.tensor([2, 0, 3, 1])


def expert_counts(chosen: torch.Tensor) -> torch.Tensor:
    """Tokens of each expert, as mixtures of experts count them."""
    return torch.histc(chosen.float(), bins=8, min=0, max=7)


@dataclass(frozen=True)
class Load:
    """Tokens of each expert by where a topk has sent them, and the sum of their weights."""

    minlength: int

    def __call__(self, scores: torch.Tensor) -> torch.Tensor:
        weights, chosen = scores.topk(2)
        counts = torch.bincount(chosen.flatten(), minlength=self.minlength)
        first = torch.bincount(scores.argmax(1), weights[:, 0], self.minlength)
        return torch.stack([counts, first])


CASES = [
    Case(aten.histc.default, f32(50), 5, -1, 1, dynamic={(0, 0): "n"}),
    Case(aten.histc.default, f32(4, 9), 7, -0.7, 1.3),
    Case(aten.histc.default, f32(4, 9), 7),
    Case(aten.histc.default, f32(4, 9)),
    Case(aten.histc.default, torch.full((4,), 2.5), 3),
    Case(aten.histc.default, torch.tensor([0.0, 1.0, 2.0, 4.0, 4.1, -0.1, NAN]), 4, 0, 4),
    Case(aten.histc.default, torch.zeros(0), 4, 0, 4),
    Case(expert_counts, i64(30, low=0, high=8), dynamic={(0, 0): "tokens"}),
    Case(aten.histc.default, f32(60_000), 5000).raises(r"histc of .* takes 300000000(.|\n)*fix:"),
    Case(Load(5), f32(12, 5), dynamic={(0, 0): "tokens"}),
    Case(Load(8), f32(12, 5)),
    Case(Load(4), f32(12, 5)).raises(r"how long it is depends on its values(.|\n)*minlength=n"),
    Case(aten.bincount.default, REPEATS).raises(r"bincount .* depends on its values(.|\n)*fix:"),
    Case(aten.bincount.default, REPEATS, f32(4), 9).raises(r"how long it is depends on its values"),
    Case(aten.searchsorted.Tensor, SORTED, f32(4, 3), dynamic={(1, 0): "n"}),
    Case(aten.searchsorted.Tensor, SORTED, EDGES, constants=(0,)),
    Case(aten.searchsorted.Tensor, SORTED, EDGES, kwargs={"right": True}),
    Case(aten.searchsorted.Tensor, SORTED, EDGES, kwargs={"side": "right", "out_int32": True}),
    Case(aten.searchsorted.Tensor, ROWS, f32(3, 4), dynamic={(0, 0): "b", (1, 0): "b"}),
    Case(aten.searchsorted.Tensor, WHOLE, i64(7), kwargs={"side": "left"}),
    Case(aten.searchsorted.Tensor, WHOLE, torch.tensor(0), kwargs={"right": True}),
    Case(
        aten.searchsorted.Tensor,
        SORTED.flip(0),
        f32(5),
        kwargs={"sorter": torch.arange(5, -1, -1)},
    ),
    Case(aten.searchsorted.Scalar, torch.zeros(6), 0.5, dynamic={(0, 0): "n"}),
    Case(aten.searchsorted.Scalar, WHOLE, 0, kwargs={"right": True}),
    Case(aten.bucketize.Tensor, f32(4, 3), SORTED, dynamic={(0, 0): "n"}),
    Case(aten.bucketize.Tensor, EDGES, SORTED, kwargs={"right": True, "out_int32": True}),
    Case(aten.bucketize.Tensor, i32(6), WHOLE.int()),
    Case(aten.bucketize.Tensor, f16(5), SORTED.half()),
    Case(aten.bucketize.Tensor, f32(3), torch.zeros(0)),
    Case(aten.bucketize.Scalar, 0.5, SORTED),
    Case(aten.repeat_interleave.Tensor, REPEATS, kwargs={"output_size": 6}),
    Case(aten.repeat_interleave.Tensor, REPEATS.int(), kwargs={"output_size": 6}),
    Case(aten.repeat_interleave.self_Tensor, f32(4, 3), REPEATS, 0, kwargs={"output_size": 6}),
    Case(aten.repeat_interleave.self_Tensor, f32(2, 2), REPEATS, kwargs={"output_size": 6}),
    Case(
        aten.repeat_interleave.self_Tensor,
        f32(3, 4),
        torch.tensor([2]),
        -1,
        kwargs={"output_size": 8},
        dynamic={(0, 0): "n"},
    ),
    Case(
        aten.repeat_interleave.self_Tensor,
        f32(4, 3),
        REPEATS,
        0,
        constants=(1,),
        dynamic={(0, 1): "c"},
    ),
    Case(aten.repeat_interleave.self_Tensor, f32(4), REPEATS, 0).raises("depends on its values"),
]
