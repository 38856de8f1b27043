"""Repeated readings: taken in turns, told as a median with its spread."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Spread", "in_turns", "timed"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median and the quartiles of some readings, in their unit."""

    median: float
    low: float
    high: float
    samples: tuple[float, ...]

    @classmethod
    def of(cls, samples: list[float]) -> Spread:
        """Errors: ValueError for fewer than two samples, which have no spread."""
        if len(samples) < 2:
            raise ValueError(f"{len(samples)} samples have no spread; take at least 2")
        low, median, high = statistics.quantiles(samples, n=4, method="inclusive")
        return cls(median=median, low=low, high=high, samples=tuple(samples))

    def text(self, unit: float, digits: int = 2) -> str:
        """``1.48 (1.47-1.49)``: median and quartiles in multiples of ``unit``."""
        low, median, high = (f"{x / unit:.{digits}f}" for x in (self.low, self.median, self.high))
        return f"{median} ({low}-{high})"


def in_turns(
    variants: Mapping[str, Callable[[], T]], rounds: int, *, warmups: int = 1
) -> dict[str, list[T]]:
    """The readings of every variant, ``rounds`` each, in the order A B, B A, A B ...

    A drift of clocks or temperature then falls on all variants alike. The warm-ups are not kept.
    """
    for _ in range(warmups):
        for read in variants.values():
            read()
    readings: dict[str, list[T]] = {name: [] for name in variants}
    order = list(variants.items())
    for _ in range(rounds):
        for name, read in order:
            readings[name].append(read())
        order.reverse()
    return readings


def timed(function: Callable[..., T], *args: Any, **kwargs: Any) -> tuple[float, T]:
    """The seconds that a call took on the host's clock, without earlier garbage, and its result."""
    gc.collect()
    start = time.perf_counter()
    result = function(*args, **kwargs)
    return time.perf_counter() - start, result
