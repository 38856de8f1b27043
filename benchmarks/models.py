"""The models of the benchmarks, with random weights that keep activations at their scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from tests.models.randomise import randomise
from tests.models.vision import models

__all__ = ["Case", "make"]

_TINY: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "linear": lambda: nn.Linear(8, 8)}
_CHAIN_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class Case:
    """A model, its precision and its batch: ``resnet50-fp16@32``; else fp32, the default batch."""

    model: str
    precision: str = "fp32"
    batch: int | None = None

    @classmethod
    def parse(cls, text: str) -> Case:
        """Errors: ValueError for a precision that no conversion takes, or a batch below 1."""
        name, _, batch = text.partition("@")
        model, _, precision = name.partition("-")
        if batch and (not batch.isdigit() or int(batch) < 1):
            raise ValueError(f"case {text!r}: {batch!r} is no batch")
        if precision not in ("", "fp32", "tf32", "fp16", "bf16"):
            raise ValueError(f"case {text!r}: precision is fp32, tf32, fp16 or bf16")
        return cls(model=model, precision=precision or "fp32", batch=int(batch) if batch else None)


def make(name: str, batch: int = 1) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
    """A model in eval mode on the CPU, and random inputs; the same ones for the same name.

    ``relu`` and ``linear`` are one layer on ``(N, 8)``; ``chain250`` is 250 times convolution,
    batch norm and ReLU on ``(N, 16, 8, 8)``; all other names are torchvision's, on
    ``(N, 3, 224, 224)``.
    Errors: ValueError for a name that torchvision does not have.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model, shape = _bare(name)
        randomise(model, (torch.randn(1, *shape),))
        return model, (torch.randn(batch, *shape),)


def _bare(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    if name in _TINY:
        return _TINY[name](), (8,)
    if name.startswith("chain") and name[5:].isdigit():
        return _chain(int(name[5:])), (_CHAIN_CHANNELS, 8, 8)
    if name not in models.list_models():
        raise ValueError(f"no model {name!r}; relu, linear, chain<number>, or one of torchvision's")
    return models.get_model(name, weights=None), (3, 224, 224)


def _chain(length: int) -> nn.Module:
    layers: list[nn.Module] = []
    for _ in range(length):
        layers += [
            nn.Conv2d(_CHAIN_CHANNELS, _CHAIN_CHANNELS, 3, padding=1, bias=False),
            nn.BatchNorm2d(_CHAIN_CHANNELS),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers)
