"""``Row``: a model of the tables, what it is called with, and which of the sizes may vary."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.export import Dim

from tests.models.randomise import randomise

__all__ = ["Example", "Input", "Row", "ids", "image", "mask", "normal"]

Size: TypeAlias = int | str
"""A number, or the name of a size that varies; ``"8*height"`` is a multiple of one."""

SIZES: dict[str, tuple[int, ...]] = {
    "batch": (2, 3, 1),
    "texts": (3, 2, 4),
    "length": (8, 13, 5),
    "past": (4, 7, 2),
    "height": (2, 3, 4),
    "width": (3, 2, 5),
    "frames": (4, 6, 5),
}
"""The sizes at which a model is tried: the first is traced, all of them are compared."""

RANGES = {
    "batch": (1, 8),
    "length": (1, 40),
    "past": (1, 40),
    "height": (1, 16),
    "width": (1, 16),
    "texts": (1, 8),
    "frames": (2, 64),
}


@dataclass(frozen=True, kw_only=True)
class Input:
    """A seeded random tensor of a shape with varying sizes."""

    shape: tuple[Size, ...]
    draw: Callable[[tuple[int, ...], torch.Generator], torch.Tensor]

    def make(self, sizes: Mapping[str, int], generator: torch.Generator) -> torch.Tensor:
        return self.draw(tuple(_number(s, sizes) for s in self.shape), generator)

    def dims(self, dims: Dims) -> dict[int, Any]:
        """The ``{axis: Dim}`` of ``dynamic_shapes``."""
        return {i: dims.of(s) for i, s in enumerate(self.shape) if isinstance(s, str)}


def _parts(size: str) -> tuple[int, str]:
    factor, _, name = size.rpartition("*")
    return int(factor or 1), name


def _number(size: Size, sizes: Mapping[str, int]) -> int:
    if isinstance(size, int):
        return size
    factor, name = _parts(size)
    return factor * sizes[name]


@dataclass(frozen=True, kw_only=True)
class Dims:
    """The Dims of a model's sizes, each made once."""

    ranges: Mapping[str, tuple[int, int]]
    made: dict[str, Any] = field(default_factory=dict)

    def of(self, size: str) -> Any:
        factor, name = _parts(size)
        least, most = self.ranges[name]
        dim = self.made.setdefault(name, Dim(name, min=least, max=most))
        return dim if factor == 1 else factor * dim


def normal(*shape: Size, scale: float = 1.0) -> Input:
    """Floats around 0."""
    return Input(shape=shape, draw=lambda s, g: torch.randn(s, generator=g) * scale)


def image(*size: Size, channels: int = 3) -> Input:
    """Images ``(batch, channels, *size)``; the sizes of axes where one is given for all of them."""
    return normal("batch", channels, *(size if len(size) > 1 else size * 2))


def ids(*shape: Size, below: int = 99, least: int = 3) -> Input:
    """Token ids, int64; the first few are special to most vocabularies."""
    return Input(shape=shape, draw=lambda s, g: torch.randint(least, below, s, generator=g))


def mask(*shape: Size) -> Input:
    """An attention mask, int64, that hides the end of every other row."""

    def draw(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        value = torch.ones(shape, dtype=torch.int64)
        value[::2, -(shape[-1] // 3 or 1) :] = 0
        return value

    return Input(shape=shape, draw=draw)


@dataclass(frozen=True, kw_only=True)
class Example:
    """A model in eval mode with its inputs: positional, or by name."""

    model: nn.Module
    calls: tuple[tuple[tuple[Any, ...], dict[str, Any]], ...]
    """Arguments and keyword arguments at different sizes; the first is what is traced."""
    dynamic_shapes: dict[str, Any] | tuple[Any, ...] | None


Inputs: TypeAlias = Any
"""An ``Input``, or a dict, list or tuple of inputs; other values are given as they are."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """How a model is made and called.

    ``inputs`` are positional as a tuple, and by name as a dict. ``static`` says why no size varies
    where none does.
    """

    make: Callable[[], nn.Module]
    inputs: tuple[Inputs, ...] | dict[str, Inputs]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ranges: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    tolerance: float = 1e-4
    static: str = ""
    scales: Mapping[str, float] = field(default_factory=dict)
    """Parameters, by how their names start, and what they are multiplied by in the end."""
    measured: int = 16
    """How many examples batch norms are measured on."""

    def build(self, seed: int = 0) -> Example:
        """The model with seeded weights, its calls and its dynamic shapes."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = self.make().eval()
        known = Dims(ranges=RANGES | dict(self.ranges))
        positional = isinstance(self.inputs, tuple)
        shapes = _shapes(self.inputs, known)
        dims = known.made
        sizes = SIZES | dict(self.sizes)
        count = min((len(sizes[name]) for name in dims), default=1)
        generator = torch.Generator().manual_seed(seed)
        calls = []
        for i in range(count):
            chosen = {name: sizes[name][i] for name in dims}
            made = _made(self.inputs, chosen, generator)
            calls.append((made, {}) if positional else ((), made))
        many = {name: sizes[name][0] for name in dims} | {"batch": self.measured}
        made = _made(self.inputs, many, generator)
        randomise(model, *((made, {}) if positional else ((), made)))
        for name, parameter in model.named_parameters():
            factors = [f for start, f in self.scales.items() if name.startswith(start)]
            parameter.data.mul_(math.prod(factors))
        return Example(model=model, calls=tuple(calls), dynamic_shapes=shapes if dims else None)


def _made(value: Inputs, sizes: Mapping[str, int], generator: torch.Generator) -> Any:
    if isinstance(value, Input):
        return value.make(sizes, generator)
    if isinstance(value, dict):
        return {k: _made(v, sizes, generator) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_made(v, sizes, generator) for v in value)
    return value


def _shapes(value: Inputs, dims: Dims) -> Any:
    if isinstance(value, Input):
        return value.dims(dims) or None
    if isinstance(value, dict):
        return {k: _shapes(v, dims) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_shapes(v, dims) for v in value)
    return None
