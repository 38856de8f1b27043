"""Errors by module: where an answer goes wrong, in which order, and how it is shown."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl import answers, comparison
from trtdsl.module_errors import ModuleError, module_errors
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import rewrite


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Linear(8, 32), nn.Linear(32, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(self.wide(x).relu())


class Model(nn.Module):
    """Two blocks, one of which is called twice, and inputs in a dict."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = Block(), Block()

    def forward(self, given: dict[str, torch.Tensor], *, scale: torch.Tensor) -> Any:
        x = self.first(given["x"]) * scale
        return {"y": self.second(self.first(x)), "z": x}


def calls() -> tuple[tuple[Any, ...], dict[str, Any]]:
    torch.manual_seed(1)
    return ({"x": torch.randn(3, 8)},), {"scale": torch.tensor(2.0)}


WHERE = [
    "first.wide", "first", "first.narrow", "first", "",
    "first.wide", "first", "first.narrow", "first",
    "second.wide", "second", "second.narrow", "second",
]  # fmt: skip


def found(model: nn.Module, precision: str | None, tampered: str = "") -> tuple[ModuleError, ...]:
    args, kwargs = calls()
    exact = trtdsl.trace(model, args, kwargs)
    built = trtdsl.trace(model, args, kwargs, precision=precision)

    def spoil(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if operation.name != tampered:
            return None
        return (operation.outputs[0].producer.layer(*inputs) * 1.5,)  # type: ignore[union-attr]

    def run(network: Network) -> Any:
        return rewrite(network, spoil).evaluate(*args, **kwargs)

    return module_errors(
        exact, built, evaluate=lambda n: n.evaluate(*args, **kwargs), run=run, error=answers.errors
    )


def test_every_module_is_there_as_often_as_it_is_called() -> None:
    errors = found(Model().eval(), None)
    assert [e.module for e in errors] == WHERE
    assert [e.relative_error for e in errors] == [0.0] * len(WHERE)
    assert errors[0].operator == "aten.linear.default"
    assert "self.wide(x)" in errors[0].line


def test_float16_shows_its_own_rounding() -> None:
    errors = [e.relative_error for e in found(Model().eval(), "fp16")]
    assert len(errors) == len(WHERE)
    assert 0 < max(errors) < 2e-3


def test_the_first_that_is_wrong_is_the_module_that_is() -> None:
    model = Model().eval()
    operations = trtdsl.trace(model, *calls()).operations
    *_, name = (op.name for op in operations if op.source.module == "second.wide")
    errors = found(model, None, tampered=name)
    wrong = [e.module for e in errors if e.relative_error > 1e-4]
    assert wrong == WHERE[WHERE.index("second.wide") :]
    by_module = {e.module: e.relative_error for e in errors}
    assert by_module["second.wide"] == pytest.approx(0.5, abs=1e-5)


def test_compare_shows_them_and_asks_for_no_more_than_it_is_told_to() -> None:
    model, (args, kwargs) = Model().eval(), calls()
    given = {"precision": "fp16", "backend": "reference", "repeats": 1}
    result = trtdsl.compare(model, args, kwargs, modules=True, **given)
    assert [e.module for e in result.modules] == WHERE
    assert result.ok
    text = str(result)
    assert "second.narrow" in text
    assert "test_module_errors.py:" in text
    listed = result.to_json()["modules"]
    assert [e["module"] for e in listed] == WHERE
    assert trtdsl.compare(model, args, kwargs, **given).modules == ()
    assert "second.narrow" not in str(trtdsl.compare(model, args, kwargs, **given))


def test_on_a_gpu_an_engine_gives_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``compare`` has it built: here by the reference, of which one module is spoilt."""
    from trtdsl import build

    model, (args, kwargs) = Model().eval(), calls()
    network = trtdsl.trace(model, args, kwargs)
    built: list[Network] = []

    def spoilt(showing: Network, _: Any) -> Any:
        built.append(showing)
        answers = list(showing.evaluate(*args, **kwargs))
        answers[2] = answers[2] + 1
        return lambda *_, **__: tuple(answers)

    monkeypatch.setattr(build, "build", spoilt)
    call = comparison._Call(device=torch.device("cpu"), args=args, kwargs=kwargs, repeats=1)
    errors = comparison._modules(model, call, {}, True, None, network)
    assert [e.module for e in errors if e.relative_error > 1e-4] == ["first.narrow"]
    assert len(built[0].outputs) == len(WHERE)


def test_a_normalization_in_float16_is_shown_as_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """An output of its own float32 would be another layer to TensorRT 8.6."""
    from trtdsl import build

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 4)).eval()
    x = torch.randn(3, 8)
    shown: list[Network] = []

    def answers(showing: Network, _: Any) -> Any:
        shown.append(showing)
        return showing.evaluate

    monkeypatch.setattr(build, "build", answers)
    call = comparison._Call(device=torch.device("cpu"), args=(x,), kwargs={}, repeats=1)
    network = trtdsl.trace(model, (x,), precision="fp16")
    errors = comparison._modules(model, call, {}, True, None, network)
    assert [e.module for e in errors] == ["0", "1", "2"]
    assert [y.dtype for y in shown[0].outputs[:2]] == [trtdsl.DType.FLOAT16] * 2
    assert all(0 < e.relative_error < 2e-3 for e in errors)
