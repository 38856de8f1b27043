"""Operators that no engine has, models around them, and what they are converted to."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from trtdsl.parts.fallback import FallbackWarning
from trtdsl.parts.hybrid import EnginePiece, Hybrid

__all__ = [
    "BATCH",
    "Break",
    "Chain",
    "Counted",
    "Mix",
    "Picks",
    "check",
    "column_sums",
    "converted",
    "keep_positive",
    "mixed",
    "order",
    "plus",
    "seeded",
]

BATCH = {0: Dim("batch", min=1, max=32)}


@torch.library.custom_op("trtdsl_tests::keep_positive", mutates_args=())
def keep_positive(x: torch.Tensor) -> torch.Tensor:
    """The rows of which the first number is positive."""
    return x[x[:, 0] > 0].clone()


@keep_positive.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    count = torch.library.get_ctx().new_dynamic_size()
    return x.new_empty((count, *x.shape[1:]))


@torch.library.custom_op("trtdsl_tests::plus", mutates_args=())
def plus(x: torch.Tensor, number: int) -> torch.Tensor:
    """``x + number``: takes a size, or a number that is read from a tensor."""
    return x + number


@plus.register_fake
def _(x: torch.Tensor, number: int) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("trtdsl_tests::mixed", mutates_args=())
def mixed(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """``sin(x) + y``."""
    return x.sin() + y


@mixed.register_fake
def _(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("trtdsl_tests::column_sums", mutates_args=())
def column_sums(x: torch.Tensor) -> torch.Tensor:
    """The sum over the rows, whose number cannot be told from it."""
    return x.sum(0)


@column_sums.register_fake
def _(x: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[1:])


class Break(nn.Module):
    """A smooth function that has no converter."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Chain(nn.Module):
    """Linear layers, with a break between any two."""

    def __init__(self, breaks: int, broken: type[nn.Module] = Break, width: int = 8) -> None:
        super().__init__()
        parts: list[nn.Module] = [nn.Linear(width, width), nn.ReLU()]
        for _ in range(breaks):
            parts += [broken(), nn.Linear(width, width), nn.ReLU()]
        self.layers = nn.Sequential(*parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


class Picks(nn.Module):
    """A break of which values decide the size, at most 64."""

    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(8, 8)
        self.after = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = keep_positive(self.before(x))
        torch._check(rows.shape[0] <= 64)
        y = self.after(rows)
        places = torch.arange(rows.shape[0]) + x.shape[0]
        return {"y": y, "places": places, "total": y.sum(0)}


class Counted(nn.Module):
    """Computes with sizes that no tensor behind its break has."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        rows = keep_positive(self.before(x))
        torch._check(rows.shape[0] <= 64)
        sums = column_sums(rows)
        y = self.after(sums) / (rows.shape[0] + x.shape[0])
        return {"y": y, "steps": torch.arange(x.shape[0] // 2) * y[0]}


class Mix(nn.Module):
    """A break that needs nothing of CUDA's libraries."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = mixed(x, x)
        return y


def converted(model: nn.Module, *args: Any, **options: Any) -> Hybrid:
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(
            model.eval(), args, backend="reference", fallback="torch", **options
        )
    assert isinstance(hybrid, Hybrid)
    return hybrid


def order(hybrid: Hybrid) -> str:
    """The pieces in turn: E for an engine, T for PyTorch."""
    return "".join("E" if isinstance(p, EnginePiece) else "T" for p in hybrid.pieces)


def check(hybrid: Hybrid, model: nn.Module, *args: Any) -> Any:
    """The answer, which is PyTorch's in values, dtypes and nesting."""
    answer = hybrid(*args)
    with torch.no_grad():
        torch.testing.assert_close(answer, model(*args), rtol=1e-5, atol=1e-5)
    return answer


def seeded(model: type[nn.Module], *args: Any) -> nn.Module:
    torch.manual_seed(0)
    return model(*args).eval()
