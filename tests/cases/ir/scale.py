"""Rows of Scale, against numpy."""

from __future__ import annotations

import numpy as np
import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.scale import Scale, ScaleMode

UNIFORM = Scale(mode=ScaleMode.UNIFORM)
CHANNEL = Scale(mode=ScaleMode.CHANNEL, channel_axis=1)


def numpy(pattern: str) -> object:
    """The formula, with the coefficients' axes placed by letters: ``"nchw,c"``."""
    axes, of = pattern.split(",")

    def reference(x: torch.Tensor, *coefficients: torch.Tensor) -> torch.Tensor:
        aligned = []
        for c in coefficients:
            value = c.double().numpy()
            where = tuple(i for i, letter in enumerate(axes) if letter not in of)
            aligned.append(np.expand_dims(value, where) if of else value.reshape([1] * len(axes)))
        shift, scale, *power = aligned
        y = x.double().numpy() * scale + shift
        return torch.from_numpy(y ** power[0] if power else y).to(x.dtype)

    return reference


def positive(*shape: int) -> torch.Tensor:
    return f32(*shape, low=0.5, high=2.0)


def row(layer: Scale, pattern: str, *inputs: torch.Tensor, **extra: object) -> LayerCase:
    constants = tuple(range(1, len(inputs)))
    return LayerCase(layer, inputs, numpy(pattern), **{"constants": constants, **extra})  # type: ignore[arg-type]


CASES = [
    row(UNIFORM, "nchw,", f32(2, 3, 4, 5), f32(1), f32(1, seed=1)),
    row(UNIFORM, "nchw,", positive(2, 3, 4, 5), positive(1), positive(1), positive(1)),
    row(CHANNEL, "nchw,c", f32(2, 3, 4, 5), f32(3), f32(3, seed=1)),
    row(CHANNEL, "nchw,c", positive(2, 3, 4, 5), positive(3), positive(3), f32(3)),
    row(
        CHANNEL, "nchw,c", f32(2, 3, 4, 5), f32(3), f32(3, seed=1),
        symbolic={(0, 0): "n", (0, 2): "h"},
    ),
    row(CHANNEL, "ncdhw,c", f32(2, 3, 2, 4, 3), f32(3), f32(3, seed=1)),
    row(CHANNEL, "ncl,c", f32(2, 3, 4), f32(3), f32(3, seed=1), symbolic={(0, 2): "l"}),
    row(CHANNEL, "nc,c", f32(4, 3), f32(3), f32(3, seed=1)),
    row(CHANNEL, "nc,c", positive(4, 3), positive(3), positive(3), f32(3)),
    row(
        Scale(mode=ScaleMode.CHANNEL, channel_axis=2), "nchw,h", f32(2, 3, 4, 5), f32(4),
        f32(4, seed=1),
    ),
    row(
        Scale(mode=ScaleMode.ELEMENTWISE, channel_axis=1), "nchw,chw", f32(2, 3, 4, 5),
        f32(3, 4, 5), f32(3, 4, 5, seed=1),
    ),
    row(
        Scale(mode=ScaleMode.ELEMENTWISE, channel_axis=2), "nchw,hw", f32(2, 3, 4, 5), f32(4, 5),
        f32(4, 5, seed=1),
    ),
    row(CHANNEL, "nchw,c", f32(2, 3, 4, 5), f32(3), f32(3, seed=1), constants=()),
    row(CHANNEL, "nchw,c", f16(2, 3, 4, 5), f16(3), f16(3, seed=1), tolerance=2e-3),
]  # fmt: skip
