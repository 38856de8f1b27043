"""Functions that demand something of values: in a file of their own, as pytest rewrites asserts."""

from __future__ import annotations

import torch
from torch import nn


def with_a_message(x: torch.Tensor) -> None:
    assert x.min() >= -50, f"too small: {x.min()}"


def both(x: torch.Tensor) -> None:
    assert x.isfinite().all() and (x < 50).all().item(), "of several words"  # noqa: PT018


def negated(x: torch.Tensor) -> None:
    assert not bool((x > 50).any()), "too large"


def between(x: torch.Tensor) -> None:
    assert -50 <= x.mean() <= 50, "too far away"


def raised(x: torch.Tensor) -> None:
    if (x > 50).any() or torch.isnan(x).any():
        message = "out of range"
        raise ValueError(message)


def raised_otherwise(x: torch.Tensor) -> None:
    if x.max() < 50:
        x = x + 1
    else:
        raise ValueError("out of range")


def counted(x: torch.Tensor) -> None:
    count = (x > 0).sum().item()
    if count > 1000:
        raise ValueError(count)


def distinct(x: torch.Tensor) -> None:
    if len(torch.unique((x > -50).sum(1))) > 1:
        raise ValueError("rows of different lengths")


def chosen(x: torch.Tensor) -> object:
    return x.add_(1) if x.min() > 0 else x


def returned(x: torch.Tensor) -> object:
    if x.max() < 50:
        return x
    raise ValueError


def either(x: torch.Tensor) -> None:
    assert x.min() > -50 or x.max() < 50, "one of them"


def both_raise(x: torch.Tensor) -> None:
    if (x > 50).any() and (x < -50).any():
        raise ValueError


def not_between(x: torch.Tensor) -> None:
    if 50 < x.min() < 60:
        raise ValueError


def left(x: torch.Tensor) -> None:
    for i in range(2):
        if x[i].sum() > 50:
            if i:
                break
            raise ValueError


def caught(x: torch.Tensor) -> object:
    try:
        assert x.min() > -50, "too small"
    except AssertionError:
        return x.add_(1)
    return x


def caught_by_a_caller(x: torch.Tensor) -> object:
    try:
        raised(x)
    except ValueError:
        return x.add_(1)
    return x


class Checked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        assert self.scale > 1, "too small"
        return x * self.scale
