"""One small engine for many tests: an MLP of 1 to 8 rows, its data and its float64 answers."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
from torch import nn

import trtdsl
from trtdsl.engine import Engine

__all__ = ["TOLERANCE", "Mlp", "convert", "data", "exact", "mlp_engine"]

# TensorRT may multiply in TF32, whose 10 bits of mantissa leave 1e-3 of the terms summed here.
TOLERANCE: dict[str, Any] = {"rtol": 1e-3, "atol": 3e-3}


class Mlp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 8), nn.ReLU())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.layers(x)
        return y


def convert(model: nn.Module, *args: Any, **options: Any) -> Engine:
    """A TensorRT engine, quickly built."""
    engine = trtdsl.convert(model.eval(), args, backend="tensorrt", optimization_level=0, **options)
    assert isinstance(engine, Engine)
    return engine


def data(seed: int, rows: int = 4) -> torch.Tensor:
    """Rows of 16 normal numbers, on the CPU."""
    return torch.randn(rows, 16, generator=torch.Generator().manual_seed(seed))


@cache
def _model() -> Mlp:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Mlp().eval()


@cache
def mlp_engine() -> Engine:
    """The engine, built once a process."""
    batch = torch.export.Dim("batch", min=1, max=8)
    return convert(_model(), data(0), dynamic_shapes={"x": {0: batch}})


def exact(x: torch.Tensor) -> torch.Tensor:
    """What the model answers, computed in float64 on the CPU."""
    double = copy.deepcopy(_model()).double()
    with torch.no_grad():
        return double(x.cpu().double()).float()  # type: ignore[no-any-return]
