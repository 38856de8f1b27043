"""Rows of ``Recurrent``: PyTorch's own recurrent layers, with the identity for the input."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import LayerCase, bf16, f16, f32
from trtdsl.ir.recurrent import Recurrent, RecurrentMode

Mode = RecurrentMode


def pytorch(function: Callable[..., Any], *, reverse: bool = False) -> Callable[..., Any]:
    """A recurrent layer of PyTorch's; one that runs back is one that runs along the flipped x."""

    def reference(x: torch.Tensor, weight: torch.Tensor, *rest: torch.Tensor) -> Any:
        dtype, (x, weight, *rest) = x.dtype, (t.float() for t in (x, weight, *rest))
        rows = x.shape[2]
        state, *others = (t[None] for t in rest)
        zero = torch.zeros(rows)
        hx, params = [state], [torch.eye(rows), weight, zero, zero]
        if function is torch.lstm:
            hx.append(others[0])
            params += [p[0] for p in others[1:]]
        elif others:
            params[3] = others[0][0]
        given = hx if function is torch.lstm else hx[0]
        flags = (True, 1, 0.0, False, False, False)
        with warnings.catch_warnings():  # of projections that oneDNN lacks
            warnings.simplefilter("ignore")
            y, *last = function(x.flip(0) if reverse else x, given, params, *flags)
        return [t.to(dtype) for t in (y.flip(0) if reverse else y, *(s[0] for s in last))]

    return reference


def masked(function: Callable[..., Any], *, reverse: bool = False) -> Callable[..., Any]:
    """PyTorch's layer of each sequence alone, as long as its mask; the last state goes on."""
    alone = pytorch(function, reverse=reverse)

    def reference(x: torch.Tensor, weight: torch.Tensor, *rest: torch.Tensor) -> Any:
        *rest, mask = rest
        columns = []
        for i, length in enumerate(mask.sum((0, 2)).long().tolist()):
            own = [t[i : i + 1] if t.shape[0] == x.shape[1] else t for t in rest]
            y, *last = alone(x[:length, i : i + 1], weight, *own)
            before = last[0] if not reverse else own[0]
            columns.append((torch.cat([y, before.expand(len(x) - length, 1, -1)]), *last))
        return [torch.cat(parts, -2) for parts in zip(*columns, strict=True)]

    return reference


def layer(mode: Mode, size: int = 3, **kwargs: Any) -> Recurrent:
    return Recurrent(mode=mode, hidden_size=size, **kwargs)


SIZES = {(0, 0): "t", (0, 1): "n", (2, 0): "n"}
LSTM = (f32(5, 2, 12), f32(12, 3), f32(2, 3), f32(2, 3, seed=1))
GRU = (f32(5, 2, 9), f32(9, 3), f32(2, 3))
RNN = (f32(5, 2, 3), f32(3, 3), f32(2, 3))

MASK = (torch.arange(5)[:, None] < torch.tensor([5, 2]))[..., None].float()
MASKED = {"symbolic": {**SIZES, (3, 0): "t", (3, 1): "n"}}

CASES = [
    LayerCase(layer(Mode.LSTM), LSTM, pytorch(torch.lstm), symbolic={**SIZES, (3, 0): "n"}),
    LayerCase(layer(Mode.LSTM, reverse=True), LSTM, pytorch(torch.lstm, reverse=True)),
    LayerCase(layer(Mode.LSTM), LSTM, pytorch(torch.lstm), constants=(1, 2, 3)),
    LayerCase(
        layer(Mode.LSTM),
        (f32(4, 2, 12), f32(12, 2), f32(2, 2), f32(2, 3), f32(2, 3, seed=1)),
        pytorch(torch.lstm),
        symbolic={**SIZES, (3, 0): "n"},
    ),
    LayerCase(layer(Mode.GRU), GRU, pytorch(torch.gru), symbolic=SIZES),
    LayerCase(layer(Mode.GRU), (*GRU, f32(9)), pytorch(torch.gru), symbolic=SIZES),
    LayerCase(
        layer(Mode.GRU, reverse=True),
        (*GRU, f32(9)),
        pytorch(torch.gru, reverse=True),
        constants=(1, 3),
    ),
    LayerCase(layer(Mode.TANH), RNN, pytorch(torch.rnn_tanh), symbolic=SIZES),
    LayerCase(layer(Mode.RELU, reverse=True), RNN, pytorch(torch.rnn_relu, reverse=True)),
    LayerCase(layer(Mode.TANH), (f32(1, 1, 3), *RNN[1:2], f32(1, 3)), pytorch(torch.rnn_tanh)),
    LayerCase(
        layer(Mode.LSTM),
        (f16(5, 2, 12), f16(12, 3), f16(2, 3), f16(2, 3, seed=1)),
        pytorch(torch.lstm),
        tolerance=2e-3,
    ),
    LayerCase(
        layer(Mode.GRU),
        (f16(5, 2, 9), f16(9, 3), f16(2, 3), f16(9)),
        pytorch(torch.gru),
        constants=(1, 3),
        tolerance=2e-3,
    ),
    LayerCase(
        layer(Mode.TANH, reverse=True),
        (bf16(5, 2, 3), bf16(3, 3), bf16(2, 3)),
        pytorch(torch.rnn_tanh, reverse=True),
        tolerance=2e-2,
        gpu="TensorRT 8.6 has no bfloat16",
    ),
    LayerCase(layer(Mode.GRU, masked=True), (*GRU, MASK), masked(torch.gru), **MASKED),
    LayerCase(
        layer(Mode.GRU, masked=True, reverse=True),
        (*GRU, f32(9), MASK),
        masked(torch.gru, reverse=True),
    ),
    LayerCase(layer(Mode.LSTM, masked=True), (*LSTM, MASK), masked(torch.lstm)),
    LayerCase(
        layer(Mode.LSTM, masked=True, reverse=True),
        (*LSTM, MASK),
        masked(torch.lstm, reverse=True),
    ),
    LayerCase(layer(Mode.TANH, masked=True), (*RNN, MASK), masked(torch.rnn_tanh), **MASKED),
]
