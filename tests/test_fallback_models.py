"""Models that run in pieces: whole ones, and what PyTorch can write into a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    keep_positive,
    order,
    plus,
    seeded,
)
from tests.cases.base import f32
from trtdsl import module_plugins
from trtdsl.parts.fallback import FallbackWarning
from trtdsl.parts.hybrid import Hybrid


def test_a_module_used_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = nn.Sequential(nn.Linear(8, 8), Break(), nn.Linear(8, 8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.block(self.block(x) + x)
            return y

    model = seeded(Twice)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "ETETE"
    assert [b.source.module for b in hybrid.breaks] == ["block.1", "block.1"]
    check(hybrid, model, f32(4, 8, seed=1))


class Rotated(nn.Module):
    """A small residual network with a learned rotation of its channels inside."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1)
        )
        self.turn = nn.Linear(8, 16)
        self.head = nn.Linear(8, 5)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.stem(image)
        x = torch.relu(x + self.block(x))
        turn = self.turn(x.mean((2, 3))).view(-1, 4, 4)
        turn = torch.linalg.matrix_exp(turn - turn.mT)
        pooled = nn.functional.adaptive_max_pool2d(x, 1).view(-1, 4, 2)
        y: torch.Tensor = self.head((turn @ pooled).flatten(1))
        return y


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_a_whole_model(precision: str | None) -> None:
    model = seeded(Rotated)
    example = f32(2, 3, 16, 16)
    hybrid = converted(model, example, dynamic_shapes={"image": BATCH}, precision=precision)
    assert order(hybrid) == "ETE"
    assert [b.call for b in hybrid.breaks] == ["aten.linalg_matrix_exp.default(f32[batch, 4, 4])"]
    image = f32(5, 3, 16, 16, seed=1)
    if precision is None:
        check(hybrid, model, image)
        return
    with torch.no_grad():
        error = (hybrid(image) - model(image)).abs().max()
    assert 0 < error < 5e-3
    for engine in hybrid.engines:
        network = engine.network  # type: ignore[union-attr]
        assert {x.dtype.value for x in (*network.inputs, *network.outputs)} == {"float32"}
        assert "f16[" in str(network)


def test_an_operator_that_writes_to_its_argument() -> None:
    hybrid = converted(Writes(), f32(4, 4))
    x = f32(4, 4, seed=1)
    before = x.clone()
    check(hybrid, Writes(), x)
    assert torch.equal(x, before)


@torch.library.custom_op("trtdsl_tests::halve_", mutates_args=("x",))
def halve_(x: torch.Tensor) -> None:
    x.mul_(0.5)


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x @ x
        halve_(y)
        return (y @ x).relu()


def test_branches_and_loops_inside() -> None:
    class Chooses(nn.Module):
        def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
            y = torch.cond(
                i.sum() > 3,
                lambda x: torch.special.bessel_j0(x) * 2,
                lambda x: x.sin(),
                (x @ x,),
            )
            with torch.autocast("cpu", enabled=False):
                z = torch.special.bessel_j1(y @ x) @ x
            return (z @ x).relu()

    hybrid = converted(Chooses(), f32(4, 4), torch.tensor([1]))
    assert order(hybrid) == "ETETE"
    assert hybrid.breaks[0].reason == "an operator inside has no converter"
    for number in (1, 5):
        check(hybrid, Chooses(), f32(4, 4, seed=number), torch.tensor([number]))


def test_an_exported_program() -> None:
    model, x = seeded(Chain, 1), f32(4, 8)
    program = torch.export.export(model, (x,), dynamic_shapes={"x": BATCH})
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(program, backend="reference", fallback="torch")
    assert isinstance(hybrid, Hybrid)
    assert order(hybrid) == "ETE"
    check(hybrid, model, f32(7, 8, seed=1))


def test_inputs_that_are_called_as_pytorch_calls_sizes() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(8, 8)

        def forward(self, u0: torch.Tensor) -> torch.Tensor:
            rows = keep_positive(self.first(u0))
            count = plus(self.first(u0).exp().sum(0), rows.shape[0])
            return plus(plus(self.first(count), rows.shape[0]) + u0, u0.shape[0])

    model, x = seeded(Named), f32(4, 8)
    program = torch.export.export(model, (x,), dynamic_shapes={"u0": BATCH})
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(program, backend="reference", fallback="torch")
    assert isinstance(hybrid, Hybrid)
    for rows in (1, 7):
        check(hybrid, model, f32(rows, 8, seed=rows))


class Square(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * x


def test_a_module_that_a_plugin_computes_stays_in_an_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module_plugins, "_PLUGINS", {})

    @trtdsl.plugin(Square)
    @dataclass(frozen=True, kw_only=True)
    class SquareBetweenBreaks(trtdsl.Plugin, kernel='extern "C" __global__ void unused() {}'):
        @classmethod
        def from_module(cls, module: nn.Module) -> Any:
            return cls()

        def infer(self, x: Any) -> Any:
            return x

        def evaluate(self, x: torch.Tensor) -> torch.Tensor:
            return x * x

    model = nn.Sequential(Break(), Square(), Break())
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "TET"
    check(hybrid, model, f32(4, 8, seed=1))


def test_regions_are_parted_and_autocast_is_kept() -> None:
    class Regions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = self.first(x)
            with torch.enable_grad():
                y = self.last(torch.special.bessel_j0(self.last(y.float())))
            with torch.autocast("cpu", enabled=False):
                y = self.first(torch.special.bessel_j1(y))
            return y

    model = seeded(Regions)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "ETETE"
    for autocast in (False, True):  # what holds around a call is not of the model
        x = f32(4, 8, seed=1)
        with torch.autocast("cpu", enabled=autocast):
            answer = hybrid(x)
        with torch.no_grad():
            torch.testing.assert_close(answer, model(x), rtol=0, atol=2e-4)  # bfloat16 inside
