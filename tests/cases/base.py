"""The rows of the tables: ``LayerCase`` for an IR layer, ``Case`` for a converter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from trtdsl.ir.base import Layer


def f32(*shape: int, seed: int = 0, low: float | None = None, high: float = 1.0) -> torch.Tensor:
    """Normal random values, or uniform ones in ``low..high`` where ``low`` is given."""
    generator = torch.Generator().manual_seed(seed + 17 * len(shape) + sum(shape))
    if low is None:
        return torch.randn(shape, generator=generator)
    return torch.rand(shape, generator=generator) * (high - low) + low


def f16(*shape: int, seed: int = 0) -> torch.Tensor:
    return f32(*shape, seed=seed).half()


def i64(*shape: int, low: int = -9, high: int = 10, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed + 17 * len(shape) + sum(shape))
    return torch.randint(low, high, shape, generator=generator)


def i32(*shape: int, low: int = -9, high: int = 10, seed: int = 0) -> torch.Tensor:
    return i64(*shape, low=low, high=high, seed=seed).int()


def boolean(*shape: int, seed: int = 0) -> torch.Tensor:
    return i64(*shape, low=0, high=2, seed=seed).bool()


def byte(*shape: int, seed: int = 0) -> torch.Tensor:
    """uint8 from 0 to 255."""
    return i64(*shape, low=0, high=256, seed=seed).byte()


def bf16(*shape: int, seed: int = 0) -> torch.Tensor:
    return f32(*shape, seed=seed).bfloat16()


@dataclass(frozen=True)
class LayerCase:
    """A layer, its inputs, and a function that gives the right answer some other way.

    ``constants`` are the indices of inputs that enter the network as constants (kernels, scales).
    ``symbolic`` names axes of inputs that are tried as symbolic too: ``{(0, 2): "h"}`` is axis 2 of
    the first input. ``tolerance`` is the largest absolute difference over the largest expected
    magnitude.
    """

    layer: Layer
    inputs: tuple[torch.Tensor, ...]
    reference: Callable[..., Any]
    constants: tuple[int, ...] = ()
    symbolic: Mapping[tuple[int, int], str] = field(default_factory=dict)
    tolerance: float = 1e-5
    gpu: str = ""
    """Why TensorRT 8.6 cannot run this row; empty where it can."""

    def __str__(self) -> str:
        shapes = "-".join("x".join(map(str, x.shape)) or "0d" for x in self.inputs)
        return f"{self.layer}-{shapes}"[:120]


@dataclass(frozen=True)
class Case:
    """A call of an ATen operator with the arguments that PyTorch itself would take.

    ``Case(aten.addmm.default, f32(3), f32(4, 6), f32(6, 3), kwargs={"beta": 0.5})``. Tensors are
    inputs of the network, but for those at the positions ``constants``, which are weights.
    ``dynamic`` names axes that are symbolic, ``{(0, 0): "batch"}`` being axis 0 of the first tensor
    argument; such a row is traced once and run at several sizes. ``fails`` is the pattern of the
    error that trtdsl raises.
    """

    operator: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    constants: tuple[int, ...]
    dynamic: Mapping[tuple[int, int], str]
    tolerance: float
    fails: str
    gpu: str

    def __init__(
        self,
        operator: Any,
        *args: Any,
        kwargs: Mapping[str, Any] | None = None,
        constants: tuple[int, ...] = (),
        dynamic: Mapping[tuple[int, int], str] | None = None,
        tolerance: float = 1e-5,
        fails: str = "",
        gpu: str = "",
    ) -> None:
        values = (operator, args, kwargs or {}, constants, dynamic or {}, tolerance, fails, gpu)
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    def raises(self, pattern: str) -> Case:
        """The same row, which is refused with an error that matches the pattern."""
        copy = Case(self.operator, *self.args, kwargs=self.kwargs, constants=self.constants)
        object.__setattr__(copy, "fails", pattern)
        return copy

    def __str__(self) -> str:
        def short(value: Any) -> str:
            if isinstance(value, torch.Tensor):
                return "x".join(map(str, value.shape)) or "0d"
            if isinstance(value, list | tuple):
                return f"[{','.join(map(short, value))}]"
            return str(value)

        schema = hasattr(self.operator, "_schema")
        name = str(self.operator) if schema else getattr(self.operator, "__name__", "call")
        parts = [short(a) for a in self.args] + [f"{k}={short(v)}" for k, v in self.kwargs.items()]
        return f"{name.removeprefix('aten.')}-{'-'.join(parts)}"[:120]
