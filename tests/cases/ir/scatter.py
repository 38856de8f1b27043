"""Rows of ``Scatter``: plain loops over numpy arrays say what is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, byte, f16, f32, i32, i64
from trtdsl.ir.scatter import Scatter, ScatterMode


def element(axis: int) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor, i: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        y = x.numpy().copy()
        for place in np.ndindex(*i.shape):
            target = list(place)
            target[axis] = int(i[place])
            y[tuple(target)] = updates[place].item()
        return torch.from_numpy(y)

    return reference


def nd(x: torch.Tensor, i: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
    y = x.numpy().copy()
    for place in np.ndindex(*i.shape[:-1]):
        y[tuple(i.numpy()[place])] = updates.numpy()[place]
    return torch.from_numpy(y)


def distinct(count: int, of: int, *lanes: int, axis: int = 0) -> torch.Tensor:
    """``count`` different indices below ``of`` along an axis, others in each lane."""
    generator = torch.Generator().manual_seed(of)
    order = torch.rand(of, *lanes, generator=generator).argsort(0)[:count]
    return order.movedim(0, axis).contiguous()


ELEMENT, ND = ScatterMode.ELEMENT, ScatterMode.ND

CASES = [
    LayerCase(
        Scatter(mode=ELEMENT, axis=0),
        (f32(5, 3), distinct(2, 5, 3), f32(2, 3, seed=1)),
        element(0),
        symbolic={(0, 1): "c", (1, 1): "c", (2, 1): "c"},
    ),
    LayerCase(
        Scatter(mode=ELEMENT, axis=2),
        (i64(2, 3, 7), distinct(4, 7, 2, 3, axis=2), i64(2, 3, 4, seed=1)),
        element(2),
        symbolic={(0, 0): "b", (1, 0): "b", (2, 0): "b"},
    ),
    LayerCase(
        Scatter(mode=ELEMENT, axis=1),
        (i32(2, 6), distinct(6, 6, 2, axis=1).int(), i32(2, 6, seed=1)),
        element(1),
    ),
    LayerCase(Scatter(mode=ELEMENT, axis=0), (f16(5), distinct(3, 5), f16(3, seed=1)), element(0)),
    LayerCase(
        Scatter(mode=ELEMENT, axis=1),
        (boolean(2, 5), distinct(3, 5, 2, axis=1), boolean(2, 3, seed=1)),
        element(1),
    ),
    LayerCase(
        Scatter(mode=ELEMENT, axis=0), (byte(6), distinct(2, 6), byte(2, seed=1)), element(0)
    ),
    LayerCase(
        Scatter(mode=ND),
        (f32(6, 3), distinct(4, 6)[:, None], f32(4, 3, seed=1)),
        nd,
        symbolic={(0, 0): "m", (1, 0): "n", (2, 0): "n"},
    ),
    LayerCase(
        Scatter(mode=ND),
        (f32(4, 4), torch.tensor([[0, 1], [3, 3], [2, 0]]), f32(3, seed=1)),
        nd,
    ),
    LayerCase(
        Scatter(mode=ND),
        (i32(3, 2, 2), torch.tensor([[[2, 0], [0, 1]]]).int(), i32(1, 2, 2, seed=1)),
        nd,
    ),
]
