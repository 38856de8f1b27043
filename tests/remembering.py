"""Another file of a user's, which a model imports from, and what it remembers."""

from __future__ import annotations

import functools

import torch

__all__ = ["CALLS", "Counter", "count", "remembered"]

CALLS = [0]


class Counter:
    """Counts for all its instances."""

    total = 0


def count() -> int:
    """How often it was called."""
    CALLS[0] += 1
    return CALLS[0]


@functools.cache
def remembered(n: int) -> torch.Tensor:
    """``3 * arange(n)``, made once."""
    return torch.arange(float(n)) * 3
