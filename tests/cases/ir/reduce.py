"""Rows of the Reduce layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, f16, f32, i32, i64
from trtdsl.ir.reduce import Reduce
from trtdsl.ir.reduce import ReduceOperation as Op

X = f32(2, 3, 4, 5)


def numpy(name: str, axes: tuple[int, ...], keep: bool = False) -> Callable[..., torch.Tensor]:
    """The reference of numpy, floats in float64."""

    def reference(x: torch.Tensor) -> torch.Tensor:
        wide = x.double() if x.is_floating_point() else x
        return torch.as_tensor(getattr(np, name)(wide.numpy(), axes, keepdims=keep)).to(x.dtype)

    return reference


CASES = [
    LayerCase(
        Reduce(op=Op.SUM, axes=(2, 3)),
        (X,),
        numpy("sum", (2, 3)),
        symbolic={(0, 0): "n", (0, 3): "w"},
    ),
    LayerCase(
        Reduce(op=Op.SUM, axes=(1,), keep_dimensions=True),
        (X,),
        numpy("sum", (1,), True),
        symbolic={(0, 2): "h"},
    ),
    LayerCase(Reduce(op=Op.SUM, axes=(0, 1, 2, 3)), (X,), numpy("sum", (0, 1, 2, 3))),
    LayerCase(Reduce(op=Op.SUM, axes=(0,)), (i64(5, 3),), numpy("sum", (0,))),
    LayerCase(Reduce(op=Op.SUM, axes=(1,)), (i32(5, 3),), numpy("sum", (1,))),
    LayerCase(Reduce(op=Op.AVG, axes=(1, 3)), (X,), numpy("mean", (1, 3))),
    LayerCase(
        Reduce(op=Op.AVG, axes=(0, 2), keep_dimensions=True), (X,), numpy("mean", (0, 2), True)
    ),
    LayerCase(Reduce(op=Op.AVG, axes=(1,)), (f16(4, 8),), numpy("mean", (1,)), tolerance=1e-3),
    LayerCase(Reduce(op=Op.MAX, axes=(0, 3)), (X,), numpy("max", (0, 3))),
    LayerCase(
        Reduce(op=Op.MAX, axes=(1,), keep_dimensions=True), (i64(4, 6),), numpy("max", (1,), True)
    ),
    LayerCase(Reduce(op=Op.MIN, axes=(1, 2)), (X,), numpy("min", (1, 2))),
    LayerCase(Reduce(op=Op.MIN, axes=(0,)), (i32(4, 6),), numpy("min", (0,))),
    LayerCase(Reduce(op=Op.PROD, axes=(0, 2)), (X,), numpy("prod", (0, 2))),
    LayerCase(
        Reduce(op=Op.PROD, axes=(1, 3), keep_dimensions=True), (X,), numpy("prod", (1, 3), True)
    ),
    LayerCase(Reduce(op=Op.PROD, axes=(1,)), (i32(4, 3),), numpy("prod", (1,))),
]
