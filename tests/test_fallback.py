"""``convert(..., fallback="torch")``: engines with PyTorch between, held to the whole model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trtdsl
from tests.breaking import (
    BATCH,
    Break,
    Chain,
    check,
    converted,
    order,
    seeded,
)
from tests.cases.base import f32
from trtdsl import registry
from trtdsl.errors import BuildError, ConversionError, RunError
from trtdsl.ir.constant import Constant
from trtdsl.parts.fallback import FallbackWarning
from trtdsl.parts.hybrid import Hybrid, TorchPiece
from trtdsl.reference import Reference


def layers(engine: Any) -> set[str]:
    """The user's modules that an engine computes."""
    return {op.source.module for op in engine.network.operations if op.source.module}


def weights(engine: Any) -> set[str]:
    """The weights of an engine, by their names in the model's ``state_dict``."""
    constants = (op.layer for op in engine.network.operations if isinstance(op.layer, Constant))
    return {c.weights.name for c in constants if c.weights.name}


def test_one_break_in_the_middle() -> None:
    model = seeded(Chain, 1)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "ETE"
    for seed in range(3):
        check(hybrid, model, f32(4, 8, seed=seed))
    assert [layers(e) for e in hybrid.engines] == [
        {"layers.0", "layers.1"},
        {"layers.3", "layers.4"},
    ]
    assert [weights(e) for e in hybrid.engines] == [
        {"layers.0.weight", "layers.0.bias"},
        {"layers.3.weight", "layers.3.bias"},
    ]


@pytest.mark.parametrize("breaks", [2, 3, 5])
def test_breaks_in_sequence_take_an_engine_each(breaks: int) -> None:
    model = seeded(Chain, breaks)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "E" + "TE" * breaks
    check(hybrid, model, f32(4, 8, seed=1))


class Branches(nn.Module):
    """Two branches with a break each, one without, and one that starts with a break."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.d, self.e, self.f = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first = self.b(torch.special.bessel_j0(self.a(x)))
        second = self.d(torch.special.bessel_j1(self.c(x)))
        y: torch.Tensor = first + second + self.e(x) * self.f(torch.special.bessel_j0(x))
        return y


def test_branches_share_engines() -> None:
    model = seeded(Branches)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "TETE"
    assert [layers(e) for e in hybrid.engines] == [{"a", "c", "e", "f"}, {"b", "d"}]
    check(hybrid, model, f32(4, 8, seed=1))


def test_three_sizes_of_a_dynamic_batch() -> None:
    model = seeded(Branches)
    hybrid = converted(model, f32(4, 8), dynamic_shapes={"x": BATCH}, opt={"batch": 16})
    for rows in (1, 9, 32):
        check(hybrid, model, f32(rows, 8, seed=rows))
    with pytest.raises(RunError, match=r"33 at axis 0, .* batch in 1\.\.32"):
        hybrid(f32(33, 8))
    ranges = {str(e.network.symbols["batch"]) for e in hybrid.engines}  # type: ignore[union-attr]
    assert ranges == {"1..16..32"}


def test_nested_outputs_of_every_kind() -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(8, 8)
            self.register_buffer("table", f32(3, 2))

        def forward(self, x: torch.Tensor, *, scale: dict[str, torch.Tensor]) -> dict[str, Any]:
            y = self.l(torch.special.bessel_j0(self.l(x)))
            even = torch.arange(x.shape[0] * 2) % 2
            return {
                "given": x,
                "again": (y, y),
                "view": [torch.special.bessel_j1(scale["a"]).view(-1), self.table],
                "even": even,
                "fixed": torch.full((2, 2), 3.0),
                "none": None,
            }

    model = seeded(Nested)
    x, scale = f32(4, 8), {"a": f32(2, 2)}
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(
            model,
            (x,),
            {"scale": scale},
            dynamic_shapes={"x": BATCH, "scale": {"a": None}},
            backend="reference",
            fallback="torch",
        )
    assert isinstance(hybrid, Hybrid)
    assert len(hybrid.engines) == 2
    for rows in (4, 1, 7):
        x = f32(rows, 8, seed=rows)
        answer = hybrid(x, scale=scale)
        torch.testing.assert_close(answer, model(x, scale=scale), rtol=1e-5, atol=1e-5)
    tensors = [answer["given"], *answer["again"], *answer["view"], x, scale["a"], model.table]
    memory = {t.untyped_storage().data_ptr() for t in tensors}  # type: ignore[union-attr]
    assert len(memory) == len(tensors)


def test_the_breaks_are_printed() -> None:
    with pytest.warns(FallbackWarning) as caught:
        hybrid = trtdsl.convert(
            seeded(Chain, 2), (f32(4, 8),), backend="reference", fallback="torch"
        )
    (warning,) = caught
    assert warning.filename == __file__
    message = str(warning.message)
    assert str(hybrid) == message
    lines = message.splitlines()
    assert lines[0] == "PyTorch runs 2 of 8 operators, in 2 pieces, and 3 engines the others"
    assert (
        lines[1] == "  in turn: engine 1 (2), PyTorch (1), engine 2 (2), PyTorch (1), engine 3 (2)"
    )
    assert lines[2] == "  aten.special_bessel_j0.default(f32[4, 8])"
    place = f"{Path(__file__).with_name('breaking.py')}:"
    line = Break.forward.__code__.co_firstlineno + 1
    code = "forward: return torch.special.bessel_j0(x)"
    assert lines[3] == f"    at:  {place}{line}, {code} (module layers.2)"
    assert lines[4].startswith("    why: it has no converter; @trtdsl.converter(torch.ops.aten.")
    assert lines[6].endswith("(module layers.5)")
    assert repr(hybrid).startswith("Hybrid(Chain: PyTorch runs 2 of 8 operators")


def test_nothing_unsupported_is_as_without() -> None:
    model = seeded(Chain, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = trtdsl.convert(model, (f32(4, 8),), backend="reference", fallback="torch")
    assert type(plain) is Reference
    assert str(plain.network) == str(trtdsl.trace(model, (f32(4, 8),)))


def test_everything_unsupported_builds_no_engine() -> None:
    model = nn.Sequential(Break(), Break())
    hybrid = converted(model, f32(4, 8), dynamic_shapes={"input": BATCH})
    assert order(hybrid) == "T"
    assert hybrid.engines == ()
    assert str(hybrid).startswith("PyTorch runs everything, 2 operators, and no engine is built")
    check(hybrid, model, f32(3, 8, seed=1))


@pytest.mark.parametrize("draws", [1, 3])
def test_random_numbers_are_those_of_the_seed(draws: int) -> None:
    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            for _ in range(draws):
                y = self.last(y + torch.randn_like(y))
                y = y + torch.rand(x.shape[0], 1) + torch.bernoulli(x.sigmoid())
            return y

    model = seeded(Draws)
    hybrid = converted(model, f32(4, 8), dynamic_shapes={"x": BATCH})
    for rows in (4, 7):
        x = f32(rows, 8, seed=rows)
        torch.manual_seed(3)
        answer = hybrid(x)
        torch.manual_seed(3)
        with torch.no_grad():
            torch.testing.assert_close(answer, model(x), rtol=0, atol=2e-4)  # bfloat16 inside
        assert not torch.equal(hybrid(x), answer)
    assert "draws no random numbers" in hybrid.breaks[0].reason


def test_updates_in_place() -> None:
    class Inside(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.special.bessel_j0(x @ x)
            y[0] += 1
            y.mul_(2)
            z = torch.special.bessel_j1(y).clamp_(min=0.1)
            z[:, 1].copy_(x[0])
            return (z @ x).relu_()

    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls.add_(1)
            return torch.special.bessel_j0(x) + self.calls

    hybrid = converted(Inside(), f32(4, 4))
    x = f32(4, 4, seed=1)
    before = x.clone()
    check(hybrid, Inside(), x)
    assert torch.equal(x, before)
    with pytest.raises(ConversionError, match="updates calls in place"):
        trtdsl.convert(Counts().eval(), (f32(4),), backend="reference", fallback="torch")


def test_what_a_converter_refuses_runs_in_pytorch(registered: Any) -> None:
    @registered(torch.ops.aten.erfinv.default)
    def erfinv(x: trtdsl.Tensor) -> trtdsl.Tensor:
        raise ConversionError(f"no erfinv of {x.type}\n  fix: none")

    class Inverts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.l(torch.erfinv(self.l(x).tanh()))
            return y

    model = seeded(Inverts)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "ETE"
    assert hybrid.breaks[0].reason == "its converter refuses: no erfinv of f32[4, 8]"
    check(hybrid, model, f32(4, 8, seed=1))


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Any:
    """``converter(..., override=True)`` for the time of one test."""
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    return lambda operator: trtdsl.converter(operator, override=True)


def test_numpy_in_and_out() -> None:
    model = seeded(Chain, 1)
    hybrid = converted(model, f32(4, 8))
    x = f32(4, 8, seed=1)
    answer = hybrid(x.numpy())
    assert isinstance(answer, np.ndarray)
    with torch.no_grad():
        np.testing.assert_allclose(answer, model(x).numpy(), rtol=1e-5, atol=1e-5)
    with pytest.raises(RunError, match=r"input x is float64, and the engine takes float32"):
        hybrid(x.numpy().astype(np.float64))
    with pytest.raises(RunError, match="numpy arrays and torch tensors in one call"):
        converted(Branches2(), x, x)(x, x.numpy())


class Branches2(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x) + y


def test_training_on_does_not_reach_what_was_converted() -> None:
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(f32(8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.special.zeta(x.abs() + 2, self.scale.abs() + 1)

    model = Weighted().eval()
    x = f32(4, 8)
    hybrid = converted(model, x)
    with torch.no_grad():
        before = model(x)
        model.scale.add_(1)
        assert not torch.equal(model(x), before)
    assert torch.equal(hybrid(x), before)
    assert not hybrid(x).requires_grad


def test_what_does_not_go_with_it(tmp_path: Path) -> None:
    model, x = seeded(Chain, 1), f32(4, 8)
    with pytest.raises(ConversionError, match="fallback is None or 'torch', not 'onnx'"):
        trtdsl.convert(model, (x,), backend="reference", fallback="onnx")  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match="refit=True with fallback='torch'"):
        trtdsl.convert(model, (x,), backend="reference", fallback="torch", refit=True)
    with pytest.raises(ConversionError, match="strip_weights=True with fallback='torch'"):
        trtdsl.convert(model, (x,), backend="reference", fallback="torch", strip_weights=True)
    with pytest.raises(BuildError, match="a profile names 'rows'"):
        trtdsl.convert(model, (x,), backend="reference", fallback="torch", profiles=[{"rows": 1}])
    hybrid = converted(model, x)
    with pytest.raises(
        ConversionError, match=r"nothing is written to .*m\.engine\n  at:  .*\n  fix: "
    ):
        hybrid.save(tmp_path / "m.engine")
    assert not list(tmp_path.iterdir())


def test_pytorch_s_pieces_move_to_the_device_of_the_inputs() -> None:
    class Makes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            noise = torch.rand(4, 8) + torch.eye(8, device=x.device)[:4] + torch.arange(8)
            return torch.special.bessel_j0(self.l(x) + noise)

    hybrid = converted(seeded(Makes), f32(4, 8))
    piece = hybrid.pieces[-1]
    assert isinstance(piece, TorchPiece)
    meta = torch.device("meta")
    module = piece.module.on(meta)
    assert module is piece.module.on(meta)
    (y,) = module(*(torch.empty(4, 8, device=meta) for _ in piece.order))
    assert y.device == meta
    assert hybrid(f32(4, 8)).device.type == "cpu"


def test_an_output_that_is_a_constant_is_the_callers_own() -> None:
    class Tabled(Chain):
        def __init__(self) -> None:
            super().__init__(1)
            self.register_buffer("table", torch.arange(3.0))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return super().forward(x), self.table

    hybrid = converted(Tabled(), f32(2, 8))
    for _ in range(2):
        table = hybrid(f32(2, 8))[1]
        assert table.tolist() == [0, 1, 2]
        table += 5
