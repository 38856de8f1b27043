"""Losses of torch.nn.functional in forms that torch.export captures as they are.

``gaussian_nll_loss`` asks in Python whether a variance is negative. ``l1_loss`` hands all but its
weight on where a mode of functions is active, as one is while torch.export runs, so that the
weight would be lost without a word. Source: the documentation of each function.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["gaussian_nll_loss", "weighted"]


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """``gaussian_nll_loss`` without a look at the signs of the variances."""
    variance = var if isinstance(var, Tensor) else torch.full_like(input, var)
    if variance.dim() < input.dim():
        variance = variance.unsqueeze(-1)
    variance = variance.clamp(min=eps)
    loss = 0.5 * (variance.log() + (input - target) ** 2 / variance)
    loss = loss + 0.5 * math.log(2 * math.pi) if full else loss
    return loss if reduction == "none" else loss.mean() if reduction == "mean" else loss.sum()


@contextmanager
def weighted() -> Iterator[None]:
    """Inside, ``l1_loss`` counts its weight, by whatever name a file has imported it."""
    before = F.l1_loss.__code__
    if "weight" in before.co_varnames[: before.co_argcount]:  # older releases have none
        F.l1_loss.__code__ = _l1_loss.__code__
    try:
        yield
    finally:
        F.l1_loss.__code__ = before


def _l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """``l1_loss``; it runs with the global names of torch.nn.functional."""
    if size_average is not None or reduce is not None:
        reduction = torch.nn._reduction.legacy_get_string(size_average, reduce)
    own, other = torch.broadcast_tensors(input, target)  # type: ignore[no-untyped-call]
    if weight is None:
        kind = torch.nn._reduction.get_enum(reduction)
        return torch._C._nn.l1_loss(own, other, kind)  # type: ignore[arg-type]
    if weight.size() != input.size():
        raise ValueError("Weights and input must have the same size.")
    loss = torch.abs(own - other) * weight
    if reduction == "none":
        return loss
    return torch.sum(loss) / torch.sum(weight) if reduction == "mean" else torch.sum(loss)
