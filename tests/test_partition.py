"""``trtdsl.parts.partition``: how many engines there are, and what is worth one."""

from __future__ import annotations

import random
import warnings

import pytest
import torch
from torch import nn

import trtdsl
from tests.breaking import BATCH, Break, check, converted, mixed, order, seeded
from tests.cases.base import f32
from trtdsl.reference import Reference


class Early(nn.Module):
    """A break that could run first, and joins the one after the first engine."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        early = torch.special.bessel_j0(x)
        late = torch.special.bessel_j1(self.first(x))
        return early, self.last(early + late)


def test_breaks_that_can_wait_share_a_piece() -> None:
    model = seeded(Early)
    hybrid = converted(model, f32(4, 8))
    assert order(hybrid) == "ETE"
    check(hybrid, model, f32(4, 8, seed=1))


def test_few_operators_between_breaks_stay_in_pytorch() -> None:
    class Few(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.special.bessel_j0(x) * 2 + 1  # two operators, and looks at tensors
            y = torch.special.bessel_j1(y.mT.reshape(8, 4).unsqueeze(0))
            return (y * 2 + 1).relu() @ x  # four

    hybrid = converted(Few(), f32(4, 8))
    assert order(hybrid) == "TE"
    assert str(hybrid).endswith(
        "  and 5 more operators between them, too few for an engine of their own"
    )
    check(hybrid, Few(), f32(4, 8, seed=1))


def test_what_is_of_weights_alone_goes_with_its_users() -> None:
    class Prepared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            places = torch.arange(x.shape[0])[:, None] / 8  # of sizes alone: no engine before
            weight = self.l.weight.softmax(1)
            y = torch.special.zeta(x.abs() + 2, places + 1)
            y = torch.special.bessel_j0(y @ weight) @ weight + places
            return self.l(y)  # type: ignore[no-any-return]

    model = seeded(Prepared)
    hybrid = converted(model, f32(4, 8), dynamic_shapes={"x": BATCH})
    assert order(hybrid) == "TETE"
    for rows in (4, 1, 9):
        check(hybrid, model, f32(rows, 8, seed=rows))


class Orthogonal(nn.Module):
    """Weights that PyTorch prepares by what no engine has, as its parametrizations do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.utils.parametrizations.orthogonal(nn.Linear(8, 8))
        self.last = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        vectors = torch.linalg.eigh(self.last.weight @ self.last.weight.mT)[1]
        y: torch.Tensor = self.layer(x) @ vectors.abs()
        return y


def test_what_only_weights_reach_is_computed_once() -> None:
    model, x = seeded(Orthogonal), f32(4, 8)
    assert trtdsl.check(model, (x,)).ok
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = trtdsl.convert(model, (x,), backend="reference", fallback="torch")
    assert isinstance(plain, Reference)
    for seed in range(2):
        x = f32(4, 8, seed=seed)
        with torch.no_grad():
            torch.testing.assert_close(plain(x), model(x), rtol=1e-5, atol=1e-5)
    hybrid = converted(nn.Sequential(model, Break(), nn.Linear(8, 8)).eval(), x)
    assert order(hybrid) == "ETE"


class Web(nn.Module):
    """A random graph of layers and breaks, each of one or two values before it."""

    def __init__(self, seed: int, size: int = 14) -> None:
        super().__init__()
        rng = random.Random(seed)
        self.steps: list[tuple[bool, list[int]]] = []
        for i in range(size):
            before = [rng.randrange(max(0, i - 4), i + 1) for _ in range(rng.choice((1, 2)))]
            self.steps.append((rng.random() < 0.35, before))
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(size))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        values = [x]
        for (breaks, before), layer in zip(self.steps, self.layers, strict=True):
            first, last = values[before[0]], values[before[-1]]
            values.append(mixed(first, last) if breaks else layer(first - last / 2))
        return values[1:]

    def fewest(self) -> int:
        """The most runs of layers on any path, with breaks between them."""
        runs = [0]
        for breaks, before in self.steps:
            ends = [runs[i] + (i > 0 and self.steps[i - 1][0] and not breaks) for i in before]
            runs.append(max([*ends, 0 if breaks else 1]))
        return max(runs)


@pytest.mark.parametrize("seed", range(8))
def test_no_fewer_engines_would_do(seed: int) -> None:
    torch.manual_seed(seed)
    model = Web(seed)
    hybrid = converted(model, f32(4, 4))
    assert len(hybrid.engines) == model.fewest()
    check(hybrid, model, f32(4, 4, seed=1))
