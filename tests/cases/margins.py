"""Rows of layers/margins.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32, i64

aten = torch.ops.aten

ROWS, ONE = f32(3, 5), f32(5)
CLASS, WEIGHTS = torch.tensor([4, 0, 2]), f32(5, low=0.1)
LABELS = torch.tensor([[1, 2, -1, 0, 0], [0, -1, 1, 1, 1], [3, 2, 1, 0, 4]])
BATCH = {(0, 0): "batch", (1, 0): "batch"}
ALL = {**BATCH, (0, 1): "classes"}

CASES = [
    *(Case(aten.multi_margin_loss.default, ROWS, CLASS, 2, 0.5, WEIGHTS, r) for r in (0, 1, 2)),
    Case(aten.multi_margin_loss.default, ROWS, CLASS, dynamic=ALL),
    Case(aten.multi_margin_loss.default, ROWS, CLASS, 1, 0.2, None, 0, dynamic=BATCH),
    Case(aten.multi_margin_loss.default, ONE, CLASS[2]),
    Case(aten.multi_margin_loss.default, ONE, CLASS[2], 2, 1, WEIGHTS, 2),
    Case(
        aten.multi_margin_loss.default, ONE, CLASS[2], 1, 1, None, 0,
        fails=r"of one sample without reduction(.|\n)*fix: leave reduction",
    ),
    *(Case(aten.multilabel_margin_loss.default, ROWS, LABELS, r) for r in (0, 1, 2)),
    Case(aten.multilabel_margin_loss.default, ROWS, i64(3, 5, low=-1, high=5), 0, dynamic=BATCH),
    Case(
        aten.multilabel_margin_loss.default, ROWS, LABELS,
        dynamic={**ALL, (1, 1): "classes"},
    ),
    Case(aten.multilabel_margin_loss.default, ONE, LABELS[1]),
    Case(aten.multilabel_margin_loss.default, ONE[0], torch.tensor(0)),
    Case(aten.multi_margin_loss.default, ONE, CLASS[2:3]),
    Case(aten.multi_margin_loss.default, ONE[0], torch.tensor(0), 1, 1, torch.tensor(0.5)),
    Case(
        aten.multilabel_margin_loss.default, ONE, LABELS[1], 0,
        fails=r"of one sample without reduction(.|\n)*fix: leave reduction",
    ),
]  # fmt: skip
