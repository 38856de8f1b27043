"""Recurrent layers and cells: LSTM, GRU, plain ones with tanh or relu."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

import trtdsl.export.recurrent  # noqa: F401  (it defines torch.ops.trtdsl)
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.recurrent import Recurrent, RecurrentMode
from trtdsl.network import Tensor
from trtdsl.operators import cast
from trtdsl.registry import converter

from .indexing import select
from .joining import cat, chunk, stack
from .linear import linear
from .shape import unsqueeze

aten = torch.ops.aten
own = torch.ops.trtdsl
Mode = RecurrentMode
Type = ActivationType


@dataclass(frozen=True, kw_only=True)
class _Direction:
    """The parameters of one direction of one layer, as PyTorch lists them."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None = None
    bias_hh: Tensor | None = None
    weight_hr: Tensor | None = None

    def run(
        self, mode: Mode, x: Tensor, states: Sequence[Tensor], mask: Sequence[Tensor], reverse: bool
    ) -> tuple[Tensor, ...]:
        """``(T, N, I)`` and the states ``(N, *)`` to the states of all steps and the last ones."""
        rows = self.weight_hh.shape[0]
        hidden = rows // mode.gates
        layer = Recurrent(mode=mode, hidden_size=hidden, reverse=reverse, masked=bool(mask))
        if mode is Mode.GRU:
            # The reset gate is a factor of what the hidden bias is part of: it stays apart.
            gates = linear(x, self.weight_ih, self.bias_ih)
            others = [b for b in [self.bias_hh] if b is not None]
        else:
            gates = linear(x, self.weight_ih, self.bias())
            others = [w for w in [*states[1:], self.weight_hr] if w is not None]
        return layer.outputs(gates, self.weight_hh, states[0], *others, *mask)

    def bias(self) -> Tensor | None:
        if self.bias_ih is None or self.bias_hh is None:
            return self.bias_ih
        return self.bias_ih + self.bias_hh


def _directions(params: Sequence[Tensor], has_biases: bool, count: int) -> list[_Direction]:
    each = len(params) // count
    names = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if has_biases else [])]
    names += ["weight_hr"] * (each - len(names))
    parts = [params[i * each : (i + 1) * each] for i in range(count)]
    return [_Direction(**dict(zip(names, part, strict=True))) for part in parts]


def _run(
    mode: Mode,
    x: Tensor,
    hx: Sequence[Tensor],
    directions: Sequence[_Direction],
    num_layers: int,
    mask: Sequence[Tensor],
) -> list[Tensor]:
    """All layers, ``(T, N, I)`` to ``(T, N, D * P)`` and the last states ``(D * layers, N, *)``.

    A mask ``(T, N, 1)``, if there is one, is 1 up to the end of each sequence.
    """
    both = len(directions) // num_layers
    last: list[tuple[Tensor, ...]] = []
    for layer in range(num_layers):
        outputs = []
        for i in range(layer * both, (layer + 1) * both):
            states = [select(h, 0, i) for h in hx]
            output, *ends = directions[i].run(mode, x, states, mask, i % both == 1)
            outputs.append(output)
            last.append(tuple(ends))
        x = cat(outputs, 2) if both == 2 else outputs[0]
    return [x, *(stack(ends) for ends in zip(*last, strict=True))]


def _layers(
    mode: Mode,
    input: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool = False,
    mask: Sequence[Tensor] = (),
) -> list[Tensor]:
    if train and dropout > 0 and num_layers > 1:
        raise ConversionError(
            explain(
                "dropout between recurrent layers in training mode draws random numbers",
                fix="call model.eval() first",
            )
        )
    directions = _directions(params, has_biases, num_layers * (2 if bidirectional else 1))
    x = input.permute(1, 0, 2) if batch_first else input
    y, *last = _run(mode, x, hx, directions, num_layers, mask)
    return [y.permute(1, 0, 2) if batch_first else y, *last]


@converter(aten.lstm.input, own.lstm.default)
def lstm(
    input: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
) -> list[Tensor]:
    """``(T, N, I)`` to ``(T, N, D * P)``, and the last states and cells of each layer.

    ``hx`` are states ``(D * layers, N, P)`` and cells ``(D * layers, N, H)``; P is H, or the size
    that a projection gives the state.
    """
    rest = (has_biases, num_layers, dropout, train, bidirectional, batch_first)
    return _layers(Mode.LSTM, input, hx, params, *rest)


def _of_one_state(mode: Mode) -> Callable[..., list[Tensor]]:
    def convert(
        input: Tensor,
        hx: Tensor,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> list[Tensor]:
        rest = (has_biases, num_layers, dropout, train, bidirectional, batch_first)
        return _layers(mode, input, [hx], params, *rest)

    return convert


converter(aten.gru.input, own.gru.default)(_of_one_state(Mode.GRU))
converter(aten.rnn_tanh.input, own.rnn_tanh.default)(_of_one_state(Mode.TANH))
converter(aten.rnn_relu.input, own.rnn_relu.default)(_of_one_state(Mode.RELU))


@converter(own.masked_lstm.default)
def masked_lstm(
    input: Tensor,
    mask: Tensor,
    hx: Sequence[Tensor],
    params: Sequence[Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
) -> list[Tensor]:
    """``lstm`` of sequences that end where ``mask (T, N)``, of bools, does."""
    rest = (has_biases, num_layers, dropout, train, bidirectional)
    return _layers(Mode.LSTM, input, hx, params, *rest, mask=_steps(mask, input))


def _masked_of_one_state(mode: Mode) -> Callable[..., list[Tensor]]:
    def convert(
        input: Tensor,
        mask: Tensor,
        hx: Tensor,
        params: Sequence[Tensor],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
    ) -> list[Tensor]:
        rest = (has_biases, num_layers, dropout, train, bidirectional)
        return _layers(mode, input, [hx], params, *rest, mask=_steps(mask, input))

    return convert


converter(own.masked_gru.default)(_masked_of_one_state(Mode.GRU))
converter(own.masked_rnn_tanh.default)(_masked_of_one_state(Mode.TANH))
converter(own.masked_rnn_relu.default)(_masked_of_one_state(Mode.RELU))


def _steps(mask: Tensor, x: Tensor) -> list[Tensor]:
    """``(T, N)`` of bools as the mask ``(T, N, 1)`` that the layer takes."""
    return [unsqueeze(cast(mask, x.dtype), 2)]


@converter(aten.lstm_cell.default)
def lstm_cell(
    input: Tensor,
    hx: Sequence[Tensor],
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """The next state and the next cell, each ``(N, H)``."""
    state, cell = hx
    gates = linear(input, w_ih, b_ih) + linear(state, w_hh, b_hh)
    i, f, g, o = chunk(gates, 4, 1)
    cell = _of(Type.SIGMOID, f) * cell + _of(Type.SIGMOID, i) * _of(Type.TANH, g)
    return _of(Type.SIGMOID, o) * _of(Type.TANH, cell), cell


@converter(aten.gru_cell.default)
def gru_cell(
    input: Tensor,
    hx: Tensor,
    w_ih: Tensor,
    w_hh: Tensor,
    b_ih: Tensor | None = None,
    b_hh: Tensor | None = None,
) -> Tensor:
    """The next state, ``(N, H)``."""
    xr, xz, xn = chunk(linear(input, w_ih, b_ih), 3, 1)
    hr, hz, hn = chunk(linear(hx, w_hh, b_hh), 3, 1)
    new = _of(Type.TANH, xn + _of(Type.SIGMOID, xr + hr) * hn)
    return new + _of(Type.SIGMOID, xz + hz) * (hx - new)


def _plain_cell(kind: Type) -> Callable[..., Tensor]:
    def convert(
        input: Tensor,
        hx: Tensor,
        w_ih: Tensor,
        w_hh: Tensor,
        b_ih: Tensor | None = None,
        b_hh: Tensor | None = None,
    ) -> Tensor:
        return _of(kind, linear(input, w_ih, b_ih) + linear(hx, w_hh, b_hh))

    return convert


converter(aten.rnn_tanh_cell.default)(_plain_cell(Type.TANH))
converter(aten.rnn_relu_cell.default)(_plain_cell(Type.RELU))


def _of(kind: Type, x: Tensor) -> Tensor:
    return Activation(type=kind)(x)
