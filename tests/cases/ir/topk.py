"""Rows of the TopK layer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from tests.cases.base import LayerCase, f32
from trtdsl.ir.topk import TopK
from trtdsl.ir.topk import TopKOperation as Op


def distinct(*shape: int) -> torch.Tensor:
    """Values of which no two are equal."""
    return f32(*shape).flatten().argsort().reshape(shape).float() / 7 - 3


def numpy(k: int, axis: int, sign: int) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """The reference of numpy's argsort."""

    def reference(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        order = np.argsort(sign * x.numpy(), axis=axis)
        index = torch.from_numpy(np.take(order, range(k), axis=axis))
        return x.gather(axis, index), index.int()

    return reference


CASES = [
    LayerCase(
        TopK(op=Op.MAX, k=3, axis=1), (distinct(4, 9),), numpy(3, 1, -1), symbolic={(0, 0): "n"}
    ),
    LayerCase(
        TopK(op=Op.MIN, k=2, axis=0), (distinct(5, 2, 3),), numpy(2, 0, 1), symbolic={(0, 1): "n"}
    ),
    LayerCase(TopK(op=Op.MAX, k=1, axis=2), (distinct(2, 3, 5),), numpy(1, 2, -1)),
    LayerCase(TopK(op=Op.MIN, k=6, axis=1), (distinct(1, 6),), numpy(6, 1, 1)),
    # TensorRT takes one of the last four axes.
    LayerCase(TopK(op=Op.MAX, k=2, axis=1), (distinct(2, 5, 1, 2, 1, 3),), numpy(2, 1, -1)),
    LayerCase(TopK(op=Op.MIN, k=1, axis=0), (distinct(4, 1, 2, 2, 3),), numpy(1, 0, 1)),
]
