"""Rows of recurrent layers and cells."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten


def parameters(
    gates: int,
    *,
    hidden: int = 3,
    inputs: int = 4,
    layers: int = 1,
    both: int = 1,
    biases: bool = True,
    projected: int = 0,
) -> list[torch.Tensor]:
    """The parameters of all layers and directions, in PyTorch's order."""
    found = []
    for i in range(layers * both):
        size = inputs if i < both else both * (projected or hidden)
        rows = gates * hidden
        found += [f32(rows, size, seed=i), f32(rows, projected or hidden, seed=i + 1)]
        found += [f32(rows, seed=i + 2), f32(rows, seed=i + 3)] if biases else []
        found += [f32(projected, hidden, seed=i)] if projected else []
    return found


def flags(
    *,
    biases: bool = True,
    layers: int = 1,
    both: int = 1,
    batch_first: bool = False,
    dropout: float = 0.0,
    train: bool = False,
) -> tuple[Any, ...]:
    return (biases, layers, dropout, train, both == 2, batch_first)


def projected(*args: Any) -> Any:
    """``torch.lstm`` with a projection, less the warning that oneDNN has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.lstm(*args)


X, H, C = f32(5, 2, 4), f32(1, 2, 3), f32(1, 2, 3, seed=1)
X2, H4, C4 = f32(2, 5, 4), f32(4, 2, 3), f32(4, 2, 3, seed=1)
TN = {(0, 0): "t", (0, 1): "n", (1, 1): "n"}
CELL = (f32(2, 4), f32(2, 3))
N = {(0, 0): "n", (1, 0): "n"}

CASES = [
    # The functions are kept whole while they are exported, so that sizes may be symbolic.
    Case(torch.lstm, X, [H, C], parameters(4), *flags(), dynamic={**TN, (2, 1): "n"}),
    Case(torch.lstm, X2, [H4, C4], parameters(4, layers=2, both=2),
         *flags(layers=2, both=2, batch_first=True)),
    Case(torch.lstm, X, [H, C], parameters(4, biases=False), *flags(biases=False)),
    Case(projected, X, [f32(2, 2, 2), f32(2, 2, 3)], parameters(4, projected=2, layers=2),
         *flags(layers=2)),
    Case(projected, X, [f32(2, 2, 2), f32(2, 2, 3)],
         parameters(4, projected=2, both=2, biases=False), *flags(both=2, biases=False)),
    Case(torch.gru, X, H, parameters(3), *flags(), dynamic=TN),
    Case(torch.gru, X2, H4, parameters(3, layers=2, both=2),
         *flags(layers=2, both=2, batch_first=True)),
    Case(torch.gru, X, H, parameters(3, biases=False), *flags(biases=False)),
    Case(torch.rnn_tanh, X, H, parameters(1), *flags(), dynamic=TN),
    Case(torch.rnn_relu, X2, H4, parameters(1, layers=2, both=2),
         *flags(layers=2, both=2, batch_first=True)),
    Case(torch.gru, X, H, parameters(3), *flags(dropout=0.5)),
    Case(aten.lstm.input, X, [H, C], parameters(4), *flags()),
    Case(aten.gru.input, X, H, parameters(3), *flags()),
    Case(aten.rnn_tanh.input, X, H, parameters(1), *flags()),
    Case(aten.rnn_relu.input, X, H, parameters(1), *flags()),
    Case(torch.lstm, X2, [H4, C4], parameters(4, layers=2, both=2),
         *flags(layers=2, both=2, batch_first=True, dropout=0.5, train=True)
         ).raises("draws random numbers"),
    Case(torch.gru, f32(7, 4), torch.tensor([2, 2, 2, 1]), H, parameters(3), True, 1, 0.0, False,
         False).raises(r"did not pack itself(.|\n)*padded batch"),
    Case(aten.lstm_cell.default, f32(2, 4), [f32(2, 3), f32(2, 3, seed=1)], *parameters(4),
         dynamic={(0, 0): "n", (1, 0): "n", (2, 0): "n"}),
    Case(aten.lstm_cell.default, f32(2, 4), [f32(2, 3), f32(2, 3, seed=1)],
         *parameters(4, biases=False)),
    Case(aten.gru_cell.default, *CELL, *parameters(3), dynamic=N),
    Case(aten.gru_cell.default, *CELL, *parameters(3, biases=False)),
    Case(aten.rnn_tanh_cell.default, *CELL, *parameters(1), dynamic=N),
    Case(aten.rnn_relu_cell.default, *CELL, *parameters(1, biases=False)),
    Case(aten.gru_cell.default, *(x.half() for x in (*CELL, *parameters(3))), tolerance=3e-3),
]  # fmt: skip
