"""Models with recurrent layers: whole, at several lengths from one trace, and in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.utils import _pytree as pytree

import trtdsl
from tests.cases.base import f32, i64
from tests.test_ir import assert_close
from tests.test_lowering import lowered
from trtdsl.ir.recurrent import Recurrent


class Tagger(nn.Module):
    """A bidirectional LSTM of two layers over embedded words."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 12)
        self.lstm = nn.LSTM(12, 8, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3)
        self.tags = nn.Linear(16, 5)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        return self.tags(self.lstm(self.embedding(words))[0])


class CRNN(nn.Module):
    """Text in an image: convolutions, then a GRU along its columns."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2))
        self.gru = nn.GRU(6 * 4, 7, bidirectional=True)
        self.head = nn.Linear(14, 11)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        columns = self.features(image).flatten(1, 2).permute(2, 0, 1)
        return self.head(self.gru(columns)[0]).log_softmax(-1)


class Translator(nn.Module):
    """An encoder, and three steps of a decoder made of a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.LSTM(5, 8, proj_size=3)
        self.cell = nn.GRUCell(8, 8)
        self.plain = nn.RNNCell(8, 4, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> Any:
        memory, (state, cell) = self.encoder(x)
        step = cell[0]
        outputs = [step := self.cell(cell[0], step) for _ in range(3)]
        return {"memory": memory, "state": state, "tokens": [self.plain(y) for y in outputs]}


B, T = Dim("batch", min=1, max=8), Dim("length", min=1, max=64)
MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[..., torch.Tensor], Any]] = {
    "tagger": (Tagger, lambda b, t: i64(b, t, low=0, high=50), {0: B, 1: T}),
    "crnn": (CRNN, lambda b, t: f32(b, 1, 8, 2 * t), {0: B, 3: 2 * T}),
    "translator": (Translator, lambda b, t: f32(t, b, 5), {0: T, 1: B}),
}


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("name", MODELS)
def test_one_trace_answers_at_every_length(name: str) -> None:
    torch.manual_seed(0)
    model, inputs, shapes = MODELS[name]
    module = model().eval()
    (parameter,) = pytree.tree_leaves(list(module.forward.__annotations__)[:1])
    network = trtdsl.trace(module, (inputs(2, 6),), dynamic_shapes={parameter: shapes})
    for sizes in ((2, 6), (1, 2), (3, 40)):
        x = inputs(*sizes)
        actual, expected = (pytree.tree_leaves(f(x)) for f in (network.evaluate, module))
        for ours, theirs in zip(actual, expected, strict=True):
            assert_close(ours, theirs, 1e-5)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_a_sequence_without_a_batch(kind: type[nn.Module]) -> None:
    torch.manual_seed(0)
    module = kind(3, 4).eval()
    x = f32(7, 3)
    expected = pytree.tree_leaves(module(x))
    actual = pytree.tree_leaves(trtdsl.trace(module, (x,)).evaluate(x))
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, 1e-5)


def test_a_long_sequence_is_one_layer() -> None:
    torch.manual_seed(0)
    module = nn.LSTM(3, 4, batch_first=True).eval()
    network = trtdsl.trace(module, (f32(1, 5000, 3),))
    assert len([op for op in network.operations if isinstance(op.layer, Recurrent)]) == 1
    assert len(network.operations) < 30


def test_a_long_sequence_adds_up_in_float32() -> None:
    """Gates that let all but 2 ** -12 of the cell pass: float16 would lose what is added."""
    module = nn.LSTM(1, 1).eval()
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(module.bias_ih_l0, 12.0)  # every gate is open
    module.bias_ih_l0.data[2] = 2.0**-12  # and the cell gains 2 ** -12 each step
    x = torch.zeros(4096, 1, 1)
    cell = module(x)[1][1]
    assert cell.item() > 0.9
    network = trtdsl.trace(module, (x,), precision="fp16")
    assert_close(network.evaluate(x)[1][1], cell, 2e-3)


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_tensorrt_8_is_told_what_stays_in_float32(kind: type[nn.Module]) -> None:
    network = trtdsl.trace(kind(3, 4).eval(), (f32(5, 2, 3),), precision="fp16")
    layers = lowered(network, "8.6.1").network.state["layers"]
    functions = [x for x in layers if type(x).__name__ == "IActivationLayer"]
    assert functions
    assert all(x.state["precision"].name == "FLOAT" for x in functions)
    products = [x for x in layers if type(x).__name__ == "IMatrixMultiplyLayer"]
    assert len(products) == 2
    assert not any("precision" in x.state for x in products)


def test_packed_sequences_are_refused() -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
            return nn.utils.rnn.pad_packed_sequence(self.gru(packed)[0])[0]

    with pytest.raises(trtdsl.ConversionError, match=r"packed sequences(.|\n)*fix: .*padded"):
        trtdsl.trace(Packed().eval(), (f32(5, 2, 3), torch.tensor([5, 3])))
