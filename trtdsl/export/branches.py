"""``asked``: which conditions of sizes a model's own code asks for while it is exported, and where.

torch.export notes every condition that anything asks for. PyTorch's own functions ask whether a
size is 1 to choose a layout in memory, and compute the same either way; a model means to ask.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import sympy
import torch
from torch.fx.experimental.sym_node import SymNode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode, uninteresting_files

from trtdsl.export.demands import REFUSES, Demand, demanded
from trtdsl.export.unchecked import unchecked
from trtdsl.source import is_users

__all__ = ["Asked", "asked"]

_OURS, _TORCH = Path(__file__).parent, Path(torch.__file__).parent
_NUMBERS = tuple(
    str(_TORCH / name)
    for name in ("__init__.py", "fx/experimental/sym_node.py", "fx/experimental/symbolic_shapes.py")
)
"""Where arithmetic and comparisons of symbolic sizes pass through."""


@dataclass
class Asked:
    """What was asked so far."""

    by_model: dict[Any, tuple[bool, str]] = field(default_factory=dict)
    """By condition: whether it was found to be true, and the line that asked."""
    equal: dict[Any, str] = field(default_factory=dict)
    """The equations that anything found to be true, and the model's line at that time."""
    told: set[Any] = field(default_factory=set)
    """The conditions of values that a warning has told of."""
    unproved: bool = False
    """Whether torch.export could not prove that what was found to be true always is."""

    def forget(self) -> None:
        """Start anew, as another attempt at capturing the model does."""
        self.by_model, self.equal = {}, {}

    def recall(self, before: Asked) -> None:
        """Go back to what was asked in an attempt before."""
        self.by_model, self.equal = before.by_model, before.equal

    def note(self, condition: Any, answer: bool, frame: FrameType | None) -> None:
        while frame is not None and _is_between(frame.f_code.co_filename):
            frame = frame.f_back
        direct = frame is not None and _is_models(frame)
        place = _place(frame)
        if direct:
            self.by_model.setdefault(condition, (answer, place))
        relation = getattr(condition, "rel_op", "")
        if relation == ("==" if answer else "!="):
            self.equal.setdefault(sympy.Eq(condition.lhs, condition.rhs), place)


@contextmanager
def asked() -> Iterator[Asked]:
    """Inside, collect the conditions that are asked, by the model those outside of PyTorch.

    ``torch.nn``, whose functions have branches in Python, counts as the model.
    """
    conditions = Asked()
    truth: Any = torch.SymBool.__bool__
    check: Any = torch._check
    guard_int: Any = SymNode.guard_int

    def noted_truth(self: torch.SymBool) -> bool:
        condition, frame = self.node.expr, sys._getframe(1)
        try:
            answer: bool = truth(self)
        except GuardOnDataDependentSymNode:
            demand = demanded(frame)
            if demand is None:
                raise
            answer = demand.answer
            _promise(self, demand, conditions)
        conditions.note(condition, answer, frame)
        return answer

    def noted_check(cond: Any, message: Any = None) -> None:
        if isinstance(cond, torch.SymBool):
            conditions.note(cond.node.expr, True, sys._getframe(1))
        check(cond, message)

    torch.SymBool.__bool__, torch._check = noted_truth, noted_check  # type: ignore[method-assign]
    SymNode.guard_int = _noting(conditions, guard_int)  # type: ignore[method-assign]
    # PyTorch reads from the first frame, but for these, who asks, and whether it is an assert.
    passed_through = uninteresting_files()
    passed_through.add(__file__)
    try:
        yield conditions
    finally:
        passed_through.discard(__file__)
        torch.SymBool.__bool__, torch._check = truth, check  # type: ignore[method-assign]
        SymNode.guard_int = guard_int  # type: ignore[method-assign]


def _noting(conditions: Asked, guard_int: Any) -> Any:
    """``guard_int``, by which a size becomes a number, with a note of it."""

    def noted_int(self: SymNode, file: str, line: int) -> int:
        size = self.expr
        number: int = guard_int(self, file, line)
        if size.free_symbols:
            conditions.note(sympy.Eq(size, number), True, sys._getframe(1))
        return number

    return noted_int


def _promise(asked: torch.SymBool, demand: Demand, conditions: Asked) -> None:
    """Have PyTorch count on what the model demands, and tell that nobody checks it."""
    met = asked if demand.answer else torch.sym_not(asked)  # type: ignore[no-untyped-call]
    torch._check(met)  # type: ignore[no-untyped-call]
    unchecked(REFUSES, demand.place)
    conditions.told |= {asked.node.expr, sympy.Not(asked.node.expr)}


def _is_between(file: str) -> bool:
    return file in _NUMBERS or Path(file).parent == _OURS


def _is_models(frame: FrameType) -> bool:
    file = Path(frame.f_code.co_filename)
    return _TORCH not in file.parents or _TORCH / "nn" in file.parents


def _place(frame: FrameType | None) -> str:
    """The innermost line outside of PyTorch and of trtdsl."""
    while frame is not None:
        file = frame.f_code.co_filename
        if is_users(file):
            code = linecache.getline(file, frame.f_lineno).strip()
            return f"{file}:{frame.f_lineno}, {frame.f_code.co_name}: {code}"
        frame = frame.f_back
    return ""
