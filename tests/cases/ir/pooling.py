"""Rows of Pooling, against loops over the windows."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.pooling import PaddingMode, Pooling, PoolingType

MAX, AVERAGE, BLEND = PoolingType.MAX, PoolingType.AVERAGE, PoolingType.MAX_AVERAGE_BLEND
UP = PaddingMode.EXPLICIT_ROUND_UP


def pooled(layer: Pooling) -> Callable[[torch.Tensor], torch.Tensor]:
    """Each window by itself: what it holds of x, and what it is divided by."""

    def reference(x: torch.Tensor) -> torch.Tensor:
        rounded = math.ceil if layer.padding_mode is UP else math.floor
        sizes = [
            rounded((s + a + b - f) / step) + 1
            for s, f, step, a, b in zip(
                x.shape[2:], layer.window_size, layer.stride, layer.pre_padding,
                layer.post_padding, strict=True,
            )
        ]  # fmt: skip
        y = torch.zeros(*x.shape[:2], *sizes, dtype=torch.float64)
        for place in itertools.product(*map(range, sizes)):
            written: Any = (..., *place)
            y[written] = one(x.double(), place)
        return y.to(x.dtype)

    def one(x: torch.Tensor, place: tuple[int, ...]) -> torch.Tensor:
        inside: Any = (...,)
        for axis, p in enumerate(place):
            start = p * layer.stride[axis] - layer.pre_padding[axis]
            end, size = start + layer.window_size[axis], x.shape[axis + 2]
            inside += (slice(max(start, 0), min(end, size)),)
        window = x[inside].flatten(2)
        divisor = (
            window.shape[-1]
            if layer.average_count_excludes_padding
            else math.prod(layer.window_size)
        )
        average, maximum = window.sum(-1) / divisor, window.amax(-1)
        blend = {MAX: 0.0, AVERAGE: 1.0, BLEND: layer.blend_factor}[layer.type]
        return (1 - blend) * maximum + blend * average

    return reference


def row(x: torch.Tensor, type: PoolingType, window: tuple[int, ...], **given: Any) -> LayerCase:
    extra = {k: given.pop(k) for k in ("symbolic", "tolerance", "gpu") if k in given}
    none = (0,) * len(window)
    attributes = {"stride": window, "pre_padding": none, "post_padding": none, **given}
    layer = Pooling(type=type, window_size=window, **attributes)
    return LayerCase(layer, (x,), pooled(layer), **extra)


ROUND = {"pre_padding": (1, 1), "post_padding": (1, 1)}

CASES = [
    row(f32(2, 3, 6, 7), MAX, (2, 2)),
    row(f32(2, 3, 7, 7), MAX, (3, 3), stride=(2, 2), **ROUND),
    row(f32(2, 3, 8, 8) - 9, MAX, (3, 3), stride=(2, 2), padding_mode=UP, **ROUND),
    row(f32(1, 2, 7, 6), MAX, (3, 2), stride=(1, 2), pre_padding=(0, 1), post_padding=(2, 0)),
    row(f32(2, 3, 8, 9), MAX, (3, 3), stride=(2, 2), symbolic={(0, 0): "n", (0, 2): "h"}),
    row(f32(2, 3, 8, 9), MAX, (2, 2), padding_mode=UP, symbolic={(0, 2): "h", (0, 3): "w"}),
    row(f32(2, 3, 6, 7), AVERAGE, (2, 3), stride=(2, 2)),
    row(f32(2, 3, 7, 7), AVERAGE, (3, 3), stride=(2, 2), **ROUND),
    row(
        f32(2, 3, 7, 7), AVERAGE, (3, 3), stride=(2, 2), average_count_excludes_padding=False,
        **ROUND,
    ),
    row(f32(2, 3, 8, 8), AVERAGE, (3, 3), stride=(2, 2), padding_mode=UP, **ROUND),
    row(
        f32(2, 3, 8, 8), AVERAGE, (3, 3), stride=(2, 2), padding_mode=UP,
        average_count_excludes_padding=False, **ROUND,
    ),
    row(f32(2, 3, 7, 7), BLEND, (3, 3), stride=(2, 2), blend_factor=0.3, **ROUND),
    row(f32(1, 2, 4, 6, 5), MAX, (2, 3, 2), stride=(1, 2, 2)),
    row(f32(1, 2, 4, 6, 5), AVERAGE, (2, 3, 2), pre_padding=(1, 0, 1), post_padding=(0, 1, 0)),
    row(f32(1, 2, 5, 6, 5), AVERAGE, (2, 2, 2), padding_mode=UP),
    row(f32(2, 3, 9), MAX, (3,), stride=(2,), pre_padding=(1,), post_padding=(1,)),
    row(f32(2, 3, 10), AVERAGE, (3,), stride=(2,), padding_mode=UP, symbolic={(0, 2): "l"}),
    row(f16(2, 3, 6, 6), AVERAGE, (2, 2), tolerance=1e-3),
]  # fmt: skip
