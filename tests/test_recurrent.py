"""Models with recurrent layers: whole, at several lengths from one trace, and in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim
from torch.nn.utils import rnn
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


class Packed(nn.Module):
    """Packed words through a recurrent layer of two directions; its rows through a linear one."""

    def __init__(self, kind: type[nn.RNNBase], *, whole: bool, descending: bool = False) -> None:
        super().__init__()
        self.recurrent = kind(5, 4, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(8, 3)
        self.whole, self.descending = whole, descending

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
        packed = rnn.pack_padded_sequence(
            x, lengths, batch_first=True, enforce_sorted=self.descending
        )
        packed, last = self.recurrent(packed)
        scores = rnn.PackedSequence(self.head(packed.data), *packed[1:])
        total = x.shape[1] if self.whole else None
        states = rnn.pad_packed_sequence(
            packed, batch_first=True, padding_value=-2.0, total_length=total
        )
        return *states, last, rnn.pad_packed_sequence(scores, total_length=total)[0]


WORDS = {"x": {0: B, 1: T}, "lengths": {0: B}}


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_packed_sequences(kind: type[nn.RNNBase], whole: bool) -> None:
    torch.manual_seed(0)
    module = Packed(kind, whole=whole).eval()
    example = (f32(3, 7, 5), torch.tensor([4, 7, 2]))
    network = trtdsl.trace(module, example, dynamic_shapes=WORDS)
    given = [example, (f32(2, 9, 5), torch.tensor([1, 6])), (f32(1, 3, 5), torch.tensor([3]))]
    for inputs in given:
        actual, expected = (pytree.tree_leaves(f(*inputs)) for f in (network.evaluate, module))
        for ours, theirs in zip(actual, expected, strict=True):
            assert_close(ours, theirs, 1e-5)


def test_packed_sequences_lower() -> None:
    module = Packed(nn.LSTM, whole=True).eval()
    inputs = (f32(3, 7, 5), torch.tensor([4, 7, 2]))
    network = trtdsl.trace(module, inputs, dynamic_shapes=WORDS)
    for version in ("8.6.1", "11.4.0.106"):
        layers = lowered(network, version).network.state["layers"]
        assert sum(type(x).__name__ == "ISelectLayer" for x in layers) >= 8


def test_what_lies_behind_a_sequence_does_not_count() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(5, 4, bidirectional=True, proj_size=2)

        def forward(self, x: torch.Tensor, lengths: torch.Tensor, start: torch.Tensor) -> Any:
            packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
            return self.lstm(packed, (start, start.repeat(1, 1, 2)))[1]

    torch.manual_seed(0)
    module = Last().eval()
    lengths, start = torch.tensor([2, 6, 1]), f32(2, 3, 2)
    x = f32(6, 3, 5)
    network = trtdsl.trace(module, (x, lengths, start))
    inside = torch.arange(6)[:, None] < lengths
    x = torch.where(inside[..., None], x, torch.nan)
    for ours, theirs in zip(
        network.evaluate(x, lengths, start), module(x, lengths, start), strict=True
    ):
        assert_close(ours, theirs, 1e-5)


def test_descending_lengths_are_no_history() -> None:
    """Warnings are errors: the module refuses lengths in another order than the example's."""
    torch.manual_seed(0)
    module = Packed(nn.GRU, whole=True, descending=True).eval()
    x, lengths = f32(2, 4, 5), torch.tensor([4, 3])
    network = trtdsl.trace(module, (x, lengths))
    for ours, theirs in zip(network.evaluate(x, lengths), module(x, lengths), strict=True):
        assert_close(ours, theirs, 1e-5)


def test_rows_of_a_packed_sequence_are_as_many_as_there_are() -> None:
    class Rows(nn.Module):
        def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> Any:
            data, batch_sizes, *_ = rnn.pack_padded_sequence(x, lengths)
            return data, batch_sizes, data.mean(0)

    module = Rows().eval()
    network = trtdsl.trace(module, (f32(4, 2, 3), torch.tensor([4, 2])))
    inputs = (f32(4, 2, 3, seed=1), torch.tensor([3, 1]))
    for ours, theirs in zip(network.evaluate(*inputs), module(*inputs), strict=True):
        assert_close(ours, theirs, 1e-6)


def test_packed_sequences_are_no_inputs_and_no_outputs() -> None:
    class Through(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(3, 4)

        def forward(self, x: Any) -> Any:
            return self.gru(x)[0]

    packed = rnn.pack_padded_sequence(f32(5, 2, 3), torch.tensor([5, 3]))
    with pytest.raises(trtdsl.ConversionError, match=r"x is .*PackedSequence(.|\n)*pack them in"):
        trtdsl.trace(Through().eval(), (packed,))

    class Out(Through):
        def forward(self, x: Any) -> Any:
            return self.gru(rnn.pack_padded_sequence(x, torch.tensor([5, 3])))[0]

    with pytest.raises(trtdsl.ConversionError, match=r"output(.|\n)*return what pad_packed"):
        trtdsl.trace(Out().eval(), (f32(5, 2, 3),))
