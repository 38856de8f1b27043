"""What a benchmark is: cases that give a row each, the columns to show, and the targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

__all__ = ["Benchmark", "Row", "Target"]

Row: TypeAlias = dict[str, Any]
"""What a case measured, as JSON: ``case``, and the benchmark's own keys; ``error`` if it failed."""


AtOnce: TypeAlias = Callable[
    [Sequence[str], int, float], AbstractContextManager[Callable[[str], Row]]
]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A limit that a reading should not pass."""

    what: str
    value: float
    limit: float

    @property
    def is_met(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        verdict = "met" if self.is_met else "MISSED"
        return f"{verdict}: {self.what} is {self.value:.4g}, at most {self.limit:g} wanted"


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One question about speed or memory.

    ``cases`` run unless others are named; any case that ``run`` understands may be named.
    ``at_once``, with cases, a number of processes and a limit in seconds, does what several cases
    may do at once, and gives the ``run`` for them.
    """

    run: Callable[[str], Row]
    cases: tuple[str, ...]
    columns: Mapping[str, Callable[[Row], str]]
    targets: Callable[[Sequence[Row]], list[Target]]
    needs_gpu: bool = True
    by_default: bool = True
    at_once: AtOnce | None = None

    def ready(
        self, cases: Sequence[str], jobs: int, limit: float
    ) -> AbstractContextManager[Callable[[str], Row]]:
        """Within it, what makes the row of a case."""
        return nullcontext(self.run) if self.at_once is None else self.at_once(cases, jobs, limit)
