"""``Outline``: what a user is told of a model in pieces."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from trtdsl.source import Source

__all__ = ["Break", "Outline", "counted"]


@dataclass(frozen=True, kw_only=True)
class Break:
    """An operator that runs in PyTorch, and why."""

    call: str
    """``aten.foo.default(f32[1, 8], 2)``."""
    source: Source
    reason: str

    def __str__(self) -> str:
        module = f" (module {self.source.module})" if self.source.module else ""
        at = [f"    at:  {self.source.line}{module}"] if self.source.line or module else []
        return "\n".join([f"  {self.call}", *at, f"    why: {self.reason}"])


@dataclass(frozen=True, kw_only=True)
class Outline:
    """The pieces of a model in turn, and the operators that PyTorch has to run."""

    pieces: tuple[tuple[bool, int], ...]
    """Whether each is an engine, and its number of operators."""
    breaks: tuple[Break, ...]
    left: int
    """How many operators are between them that are too few for an engine of their own."""

    @property
    def summary(self) -> str:
        """In one line: ``PyTorch runs 1 of 9 operators, in 1 piece, and 2 engines the others``."""
        engines = sum(is_engine for is_engine, _ in self.pieces)
        every = counted(sum(number for _, number in self.pieces), "operator")
        if not engines:
            return f"PyTorch runs everything, {every}, and no engine is built"
        run = sum(number for is_engine, number in self.pieces if not is_engine)
        pieces = counted(len(self.pieces) - engines, "piece")
        others = counted(engines, "engine")
        return f"PyTorch runs {run} of {every}, in {pieces}, and {others} the others"

    def __str__(self) -> str:
        index = count(1)
        pieces = (
            f"engine {next(index)} ({number})" if is_engine else f"PyTorch ({number})"
            for is_engine, number in self.pieces
        )
        lines = [self.summary, f"  in turn: {', '.join(pieces)}", *map(str, self.breaks)]
        if self.left:
            more = counted(self.left, "more operator")
            lines.append(f"  and {more} between them, too few for an engine of their own")
        return "\n".join(lines)


def counted(number: int, what: str) -> str:
    """``1 engine``, ``2 engines``."""
    return f"{number} {what}{'s' * (number != 1)}"
