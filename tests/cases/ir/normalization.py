"""Rows of Normalization, against numpy in float64."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.normalization import Normalization


def normalized(layer: Normalization) -> Callable[..., torch.Tensor]:
    """Each group as an array of its own, with numpy's mean and variance."""

    def reference(x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        whole = x.double().numpy().copy()
        width = x.shape[1] // layer.groups
        grouped = layer.groups > 1
        for first in range(0, x.shape[1], width) if grouped else [0]:
            part = whole[:, first : first + width] if grouped else whole
            axes = (1, *layer.axes) if grouped else layer.axes
            mean, variance = part.mean(axes, keepdims=True), part.var(axes, keepdims=True)
            part[...] = (part - mean) / (variance + layer.epsilon) ** 0.5
        return torch.from_numpy(whole * scale.double().numpy() + bias.double().numpy()).to(x.dtype)

    return reference


def row(x: torch.Tensor, sizes: tuple[int, ...], **given: Any) -> LayerCase:
    extra = {k: given.pop(k) for k in ("symbolic", "tolerance", "constants", "gpu") if k in given}
    layer = Normalization(**given)
    made = f16 if x.dtype is torch.float16 else f32
    extra.setdefault("constants", (1, 2))
    return LayerCase(layer, (x, made(*sizes), made(*sizes, seed=1)), normalized(layer), **extra)


CASES = [
    row(f32(2, 5, 8) * 3 + 1, (1, 1, 8), axes=(2,)),
    row(f32(2, 5, 8), (1, 1, 8), axes=(2,), epsilon=0.1, symbolic={(0, 0): "n", (0, 1): "l"}),
    row(f32(4, 8), (1, 8), axes=(1,)),
    row(f32(2, 4, 3, 5) + 2, (1, 1, 3, 5), axes=(2, 3)),
    row(f32(2, 4, 3, 5), (1, 4, 3, 5), axes=(1, 2, 3)),
    row(f32(2, 4, 3, 5) + 2, (1, 4, 1, 1), axes=(2, 3), symbolic={(0, 2): "h", (0, 3): "w"}),
    row(f32(2, 4, 7), (1, 4, 1), axes=(2,)),
    row(f32(1, 4, 3, 2, 3), (1, 4, 1, 1, 1), axes=(2, 3, 4)),
    row(f32(2, 4, 3, 5), (1, 4, 1, 1), axes=(1, 2, 3)),
    row(f32(2, 6, 3, 5) + 2, (1, 6, 1, 1), axes=(2, 3), groups=2),
    row(f32(2, 6, 3, 5), (1, 6, 1, 1), axes=(2, 3), groups=3, symbolic={(0, 0): "n", (0, 3): "w"}),
    row(f32(2, 6, 5), (1, 6, 1), axes=(2,), groups=3),
    row(f32(2, 5, 8), (1, 1, 8), axes=(2,), constants=()),
    row(f16(2, 5, 8), (1, 1, 8), axes=(2,), tolerance=4e-3),
]
