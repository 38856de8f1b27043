"""Rows of ``Gather``: plain loops over numpy arrays say what is right."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import torch

from tests.cases.base import LayerCase, boolean, byte, f16, f32, i32, i64
from trtdsl.ir.gather import Gather, GatherMode


def take(axis: int) -> Callable[..., torch.Tensor]:
    return lambda x, i: torch.from_numpy(np.take(x.numpy(), i.numpy(), axis=axis))


def element(axis: int) -> Callable[..., torch.Tensor]:
    return lambda x, i: torch.from_numpy(np.take_along_axis(x.numpy(), i.long().numpy(), axis))


def nd(batch: int) -> Callable[..., torch.Tensor]:
    def reference(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        data, indices = x.numpy(), i.numpy()
        places = list(product(*map(range, indices.shape[:-1])))
        picked = [data[(*place[:batch], *indices[place])] for place in places]
        rest = data.shape[batch + indices.shape[-1] :]
        return torch.from_numpy(np.array(picked).reshape(*indices.shape[:-1], *rest))

    return reference


def batched(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(
        np.stack([np.take(a, b, axis=1) for a, b in zip(x.numpy(), i.numpy(), strict=True)])
    )


def or_zero(x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
    rows = [x[k] if 0 <= k < len(x) else torch.zeros_like(x[0]) for k in i.tolist()]
    return torch.stack(rows)


ND = GatherMode.ND
ELEMENT = GatherMode.ELEMENT

CASES = [
    LayerCase(
        Gather(axis=0),
        (f32(5, 3), i64(2, 4, low=0, high=5)),
        take(0),
        symbolic={(0, 1): "c", (1, 0): "n"},
    ),
    LayerCase(Gather(axis=1), (f16(2, 5, 3), i32(4, low=0, high=5)), take(1)),
    LayerCase(Gather(axis=2), (i64(2, 5, 3), torch.tensor(2)), take(2), constants=(1,)),
    LayerCase(Gather(axis=1), (boolean(2, 5), i64(3, low=0, high=5)), take(1)),
    LayerCase(
        Gather(axis=2, elementwise_dims=1),
        (f32(3, 2, 5), i64(3, 4, low=0, high=5)),
        batched,
        symbolic={(0, 0): "n", (1, 0): "n"},
    ),
    LayerCase(
        Gather(axis=2, elementwise_dims=1),
        (f32(3, 2, 5), i64(1, 4, low=0, high=5)),
        lambda x, i: batched(x, i.expand(3, 4)),
    ),
    LayerCase(Gather(axis=0), (f32(3, 2), torch.tensor([0, 2, 3])), or_zero),
    LayerCase(
        Gather(mode=ELEMENT, axis=1),
        (f32(3, 5), i64(3, 2, low=0, high=5)),
        element(1),
        symbolic={(0, 0): "n", (1, 0): "n"},
    ),
    LayerCase(
        Gather(mode=ELEMENT, axis=0), (f32(3, 2, 4), i32(6, 2, 4, low=0, high=3)), element(0)
    ),
    LayerCase(
        Gather(mode=ELEMENT, axis=0),
        (f32(3, 1), torch.tensor([[0], [2], [3]])),
        lambda x, i: or_zero(x, i[:, 0]),
    ),
    LayerCase(Gather(mode=ND), (f32(4, 4), i64(5, 2, low=0, high=4)), nd(0)),
    LayerCase(
        Gather(mode=ND),
        (f32(4, 4, 3), i64(2, 5, 2, low=0, high=4)),
        nd(0),
        symbolic={(0, 2): "c", (1, 0): "n"},
    ),
    LayerCase(Gather(mode=ND), (f32(4, 2), i64(3, 1, low=0, high=4)), nd(0)),
    LayerCase(
        Gather(mode=ND, elementwise_dims=1), (f32(3, 4, 2), i64(3, 5, 1, low=0, high=4)), nd(1)
    ),
    LayerCase(
        Gather(mode=ND, elementwise_dims=2), (f32(2, 3, 4, 2), i64(2, 3, 1, low=0, high=4)), nd(2)
    ),
    LayerCase(
        Gather(mode=ND),
        (f32(3, 2), torch.tensor([[0, 2], [3, 0], [2, 1]])),
        lambda x, i: torch.stack([x.new_zeros(()), x.new_zeros(()), x[2, 1]]),
    ),
    LayerCase(Gather(axis=1), (byte(2, 5), i64(3, low=0, high=5)), take(1)),
]
