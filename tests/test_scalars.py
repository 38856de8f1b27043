"""Numbers that a module keeps in its state, and that Python asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.standin.refitting import engine_of
from tests.test_build_cache import GPU
from tests.test_refit import lowered
from trtdsl.errors import ConversionError, RunError
from trtdsl.network_digest import engine_key
from trtdsl.weights.recording import base_state
from trtdsl.weights.refit import Refitting


class Padded(nn.Module):
    """A causal convolution that keeps its sizes in tensors, as EnCodec's do."""

    def __init__(self, kernel: int = 3, *, persistent: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv1d(2, 2, kernel)
        self.register_buffer("kernel", torch.tensor(kernel), persistent=persistent)
        self.register_buffer("is_causal", torch.tensor(True), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        total = self.kernel - 1
        left = total if self.is_causal else total // 2
        if x.shape[-1] > left:
            x = F.pad(x, (left, total - left))
        return self.conv(x) * self.kernel


def test_a_size_in_a_buffer_is_known() -> None:
    model, x = Padded().eval(), f32(2, 2, 6)
    batch = torch.export.Dim("batch", min=1, max=8)
    network = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: batch}})
    for given in (x, f32(5, 2, 6)):
        torch.testing.assert_close(network.evaluate(given), model(given))
    assert network.outputs[0].shape[1:] == (2, 6)
    assert type(model._buffers) is dict
    assert int(model.kernel) == 3


def test_a_size_in_the_state_dict_is_known_too() -> None:
    model, x = Padded(persistent=True).eval(), f32(2, 2, 6)
    network = trtdsl.trace(model, (x,))
    torch.testing.assert_close(network.evaluate(x), model(x))
    assert network.settled.keys() == {"kernel"}
    assert network.state.keys() == model.state_dict().keys()


class Flagged(nn.Module):
    """Asks in Python what buffers and a parameter say, as layers do that initialize themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.tensor(1, dtype=torch.uint8))
        self.register_buffer("chances", torch.tensor([0.5, 0.0, 1.0]))
        self.register_buffer("unread", torch.tensor([True]))
        self.register_buffer("table", torch.arange(40.0))
        self.power = nn.Parameter(torch.tensor(2.0))
        self.norm, self.linear = nn.BatchNorm1d(3), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.initialized.item() == 0:
            return x
        for i in range(3):
            if self.chances[i] > 0:
                x = self.linear(x) * self.chances[i]
        x = self.norm(x) + self.table[:3]
        return x.square() if self.power == 2 else x**self.power


def test_values_of_the_state_are_known_where_python_asks_for_them() -> None:
    torch.manual_seed(0)
    model, x = Flagged().eval(), f32(4, 3)
    batch = torch.export.Dim("batch", min=1, max=8)
    network = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: batch}})
    for given in (x, f32(7, 3)):
        torch.testing.assert_close(network.evaluate(given), model(given))
    assert network.settled.keys() == {"initialized", "chances", "power"}
    assert network.state.keys() == model.state_dict().keys()
    assert isinstance(model.power, nn.Parameter)


def test_values_that_nobody_asks_for_stay_weights() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1)).eval()
    assert not trtdsl.trace(model, (f32(2, 3),)).settled


def test_a_refit_cannot_change_what_python_asked_for(building: Callable[[str], Any]) -> None:
    building("10.3.0")
    torch.manual_seed(0)
    model = Flagged().eval()
    network = trtdsl.trace(model, (f32(2, 3),))
    before, recipes = lowered(network, "10.3.0")
    refitting = Refitting(recipes, base_state(network))
    refitting.apply(engine_of(before), {**model.state_dict(), "linear.bias": torch.ones(3)})
    for key, value in (("power", torch.tensor(3.0)), ("initialized", torch.tensor(0).byte())):
        with pytest.raises(RunError, match=f"{key} in what the layers are"):
            refitting.apply(engine_of(before), {key: value})


def test_a_tied_weight_that_python_asked_for(building: Callable[[str], Any]) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))
            self.again, self.linear = self.scale, nn.Linear(3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x) * (self.scale if self.again > 1 else 1)

    building("10.3.0")
    model = Tied().eval()
    before, recipes = lowered(trtdsl.trace(model, (f32(2, 3),)), "10.3.0")
    refitting = Refitting(recipes, {"linear.bias": model.linear.bias.detach()})
    with pytest.raises(RunError, match="in what the layers are"):
        refitting.apply(engine_of(before), dict.fromkeys(("scale", "again"), torch.tensor(3.0)))


def test_engines_of_other_values_are_not_taken_for_each_other() -> None:
    def key(value: int) -> str:
        model = Flagged().eval()
        for parameter in model.parameters():
            nn.init.ones_(parameter)
        model.initialized.fill_(value)
        return engine_key(trtdsl.trace(model, (f32(2, 3),)), {}, "8.6.1", GPU)

    assert key(1) == key(1) != key(2)


class Rising(nn.Module):
    """Checks numbers of its own, larger ones and what a function makes of them too."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("window", torch.hann_window(256)[1:])
        self.linear = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        times = torch.arange(5) * 0.3
        times[-1] = 1.0
        times.clamp_(max=2)
        assert (times[1:] > times[:-1]).all(), "times have to rise"
        assert (self.window.repeat(40) > 1e-6).all()
        found = torch.empty(2, 3)
        found[0] = x[0]
        found.view(-1)[3:].copy_(x[1])
        x = x + found.sum(0)
        a, b = self.linear.weight.chunk(2, 0)
        if not torch.equal(a, b.expand_as(a)) and self.linear.bias.isfinite().all():
            x = self.linear(x)
        for i in range(int(self.window.argmax()) // 60):
            x = x * times[i + 1]
        places = torch.nonzero(times > 0.4).flatten()
        return x * places.shape[0] + times[places].sum()


def test_what_is_computed_of_the_state_and_of_literals_is_known() -> None:
    torch.manual_seed(0)
    model, x = Rising().eval(), f32(4, 3)
    network = trtdsl.trace(model, (x,))
    torch.testing.assert_close(network.evaluate(x), model(x))
    assert network.settled.keys() == {"window", "linear.weight", "linear.bias"}


class Written(nn.Module):
    """Asks for what it has written to, through a view."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        counts = torch.zeros(3)
        counts.view(-1)[1:].add_(x.sum())
        return x * 2 if counts[2] > 0 else x


class Drawn(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        drawn = torch.rand(2)
        try:
            found = bool(drawn.sum() > 1)
        except RuntimeError:  # asked once more, it is still not known
            found = bool(drawn.sum() > 1)
        return x * 2 if found else x


@pytest.mark.parametrize("kind", [Written, Drawn])
def test_what_is_written_to_or_drawn_is_not_known(kind: type[nn.Module]) -> None:
    with pytest.raises(ConversionError, match="data-dependent"):
        trtdsl.trace(kind().eval(), (f32(3),))


class Placed(nn.Module):
    """Reads whole numbers of a buffer that no ``state_dict`` has, beside what is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("places", torch.arange(6)[None], persistent=False)
        self.register_buffer("flag", torch.tensor(True))
        self.embedding = nn.Embedding(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x + self.embedding(self.places)
        return y if self.flag else x


def test_whole_numbers_stay_what_they_are_meanwhile() -> None:
    model, x = Placed().eval(), f32(2, 6, 4)
    torch.testing.assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x))


class Answered(nn.Module):
    """What is asked of an input has no one answer, whatever else is known."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("limit", torch.tensor(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.max() > self.limit else x


class AskedLater(Answered):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) if self.limit > 0 else x


def test_the_question_that_is_left_is_told() -> None:
    with pytest.raises(ConversionError, match=r"data-dependent(.|\n)*if x.max\(\) > self.limit"):
        trtdsl.trace(AskedLater().eval(), (f32(3),))


def test_values_of_inputs_stay_unknown() -> None:
    with pytest.raises(ConversionError, match=r"data-dependent(.|\n)*if x.max\(\) > self.limit"):
        trtdsl.trace(Answered().eval(), (f32(3),))


class Once(nn.Module):
    """Initializes itself in its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("initialized", torch.tensor(False))
        self.register_buffer("shift", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.initialized:
            self.shift.copy_(-x.mean(0))
            self.initialized.fill_(True)
        return x + self.shift


def test_a_layer_that_would_initialize_itself_is_refused() -> None:
    model, x = Once().eval(), f32(4, 3)
    with pytest.raises(ConversionError):
        trtdsl.trace(model, (x,))
    assert not model.initialized
    assert not model.shift.any()
    model(x)
    torch.testing.assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x))


class Counts(nn.Module):
    def __init__(self, count: Callable[[Counts], None]) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("calls", torch.tensor(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count(self)
        return x * self.calls


def add(model: Counts) -> None:
    model.calls.add_(1)


def assign(model: Counts) -> None:
    model.calls = model.calls + 1


@pytest.mark.parametrize("count", [add, assign])
def test_a_number_that_changes_is_refused(count: Callable[[Counts], None]) -> None:
    model = Counts(count).eval()
    with pytest.raises(ConversionError, match="the model updates calls in place"):
        trtdsl.trace(model, (f32(3),))
    assert int(model.calls) == 2


def test_what_a_size_that_varies_cuts_is_not_known() -> None:
    """A slice and a shape hold it: what Python asks of them has no one answer."""

    class Cutting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("table", torch.arange(8.0))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2 if self.table[: x.shape[0]].sum() > 3 else x

    sizes = {"x": {0: torch.export.Dim("n", min=2, max=8)}}
    with pytest.raises(ConversionError):
        trtdsl.trace(Cutting().eval(), (f32(4),), dynamic_shapes=sizes)
