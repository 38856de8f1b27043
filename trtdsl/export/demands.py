"""``demanded``: what a model demands of values, by ``assert`` or ``if ...: raise``.

An engine has one path for all values. Where the only other one is an error, it is the path of the
inputs that the model takes; that it does not look at them any more, a warning tells.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import TypeAlias

from trtdsl.source import is_users

__all__ = ["REFUSES", "Demand", "demanded"]

REFUSES = "the model refuses inputs by what they hold"
"""What there is to say of a demand that nothing checks."""

_OUTERMOST = str(Path(__file__).with_name("flat.py"))
"""The file that calls the model: what is around that is nobody's who wrote the model."""

_Place: TypeAlias = tuple[int | None, int | None, int | None, int | None]
"""First and last line, first and last column, as Python has them of an instruction."""


class Demand:
    """An answer without which a frame raises an error, and the line that asks."""

    def __init__(self, frame: FrameType, answer: bool) -> None:
        self.answer = answer
        code = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        self.place = f"{where}, {frame.f_code.co_name}: {code}"


def demanded(frame: FrameType | None) -> Demand | None:
    """What a frame that asks whether something is true goes on with; None where it has a choice.

    Of ``a and b`` both have to be true, of ``a or b`` both false, for one to be known.
    """
    if frame is None:
        return None
    if _is_caught(frame):
        return None
    code, at = frame.f_code, frame.f_lasti // 2
    # A jump has the place of its whole statement, and what is before it that of the expression.
    place = next(islice(code.co_positions(), at - 1, None), None) if at else None
    if place is None or None in place:
        return None
    for test, wanted in _tests(code.co_filename):
        answer = _answer(test, wanted, place)
        if answer is not None:
            return Demand(frame, answer)
    return None


def _is_caught(frame: FrameType) -> bool:
    """Whether one of the callers may catch the error, and go on by another path."""
    caller = frame.f_back
    while caller is not None and not caller.f_code.co_filename.endswith(_OUTERMOST):
        file = caller.f_code.co_filename
        within = (first <= caller.f_lineno <= last for first, last in _catching(file))
        if is_users(file) and any(within):
            return True
        caller = caller.f_back
    return False


@cache
def _catching(file: str) -> tuple[tuple[int, int], ...]:
    """The first and last lines of each statement that a source file has within a ``try``."""
    found = (n for node in ast.walk(_tree(file)) for n in _caught(node))
    statements = (n for n in found if isinstance(n, ast.stmt))
    return tuple((n.lineno, n.end_lineno or n.lineno) for n in statements)


def _tree(file: str) -> ast.AST:
    try:
        return ast.parse("".join(linecache.getlines(file)))
    except (SyntaxError, ValueError):
        return ast.Module(body=[], type_ignores=[])


@cache
def _tests(file: str) -> tuple[tuple[ast.expr, bool], ...]:
    """What a source file tests so that an error follows, and what has to be the answer."""
    return tuple(_in(_tree(file)))


def _in(tree: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
    caught = {part for node in ast.walk(tree) for part in _caught(node)}
    for node in ast.walk(tree):
        if node in caught:  # whose error may be another path
            continue
        if isinstance(node, ast.Assert):
            yield node.test, True
        elif isinstance(node, ast.If) and _only_raises(node.body):
            yield node.test, False
        elif isinstance(node, ast.If) and _only_raises(node.orelse):
            yield node.test, True


def _caught(node: ast.AST) -> Iterator[ast.AST]:
    """What is within a ``try`` that has an ``except``, or within ``with suppress(...)``."""
    body: list[ast.stmt] = []
    if isinstance(node, ast.Try | ast.TryStar) and node.handlers:
        body = node.body
    elif isinstance(node, ast.With):
        suppresses = any("suppress" in ast.unparse(item.context_expr) for item in node.items)
        body = node.body if suppresses else []
    for statement in body:
        yield from ast.walk(statement)


def _only_raises(body: list[ast.stmt]) -> bool:
    """Whether statements end in an error, and nowhere else."""
    whole = ast.Module(body=body, type_ignores=[])
    left = any(
        isinstance(n, ast.Return | ast.Yield | ast.Break | ast.Continue) for n in ast.walk(whole)
    )
    return bool(body) and isinstance(body[-1], ast.Raise) and not left


def _answer(test: ast.expr, wanted: bool, place: _Place) -> bool | None:
    if not _is_within(place, test):
        return None
    match test:
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            found = _answer(operand, not wanted, place)
            return wanted if found is None and _is_at(place, test) else found
        case ast.BoolOp(op=op, values=values):
            if isinstance(op, ast.And) is not wanted:
                return None
            found_in = (_answer(value, wanted, place) for value in values)
            return next((answer for answer in found_in if answer is not None), None)
        case ast.Compare(ops=ops) if len(ops) > 1 and not wanted:
            return None
    return wanted if _is_at(place, test) else None


def _is_at(place: _Place, node: ast.expr) -> bool:
    return place == (node.lineno, node.end_lineno, node.col_offset, node.end_col_offset)


def _is_within(place: _Place, node: ast.expr) -> bool:
    first, last, start, end = place
    assert first is not None
    assert last is not None
    assert node.end_lineno is not None
    begins, ends = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
    return begins <= (first, start) and (last, end) <= ends
