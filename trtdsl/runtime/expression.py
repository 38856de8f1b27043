"""Sizes written as text, such as ``2*batch + 1``: evaluated, and solved for a symbol."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from trtdsl.errors import LoadError
from trtdsl.types import DimRange

__all__ = ["UNKNOWN", "evaluate", "solve", "symbols_of"]

UNKNOWN = "?"
"""A size that only TensorRT knows, in place of an expression."""

_MAX_EXPONENT = 8  # a manifest comes from a file: 9**9**9 must not hang whoever loads it

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_CALLS: dict[str, Callable[..., Any]] = {
    "floor": math.floor,
    "ceiling": math.ceil,
    "Max": max,
    "Min": min,
    "Mod": operator.mod,
}


def evaluate(text: str, sizes: Mapping[str, int]) -> int:
    """The size that an expression has once its symbols have these sizes.

    ``+ - * / // % **``, unary minus, ``floor``, ``ceiling``, ``Mod``, ``Max``, ``Min``; all exact.
    Errors: LoadError when the text is anything else, or gives no whole number.
    """
    try:
        value = _value(_parse(text), {name: Fraction(size) for name, size in sizes.items()})
    except ZeroDivisionError:
        raise LoadError(f"the size {text!r} divides by zero for {dict(sizes)}") from None
    if value != int(value):
        raise LoadError(f"the size {text!r} is {value} for {dict(sizes)}, not a whole number")
    return int(value)


def solve(text: str, size: int, symbol: str, within: DimRange) -> int | None:
    """The smallest value of its one symbol that gives an expression this size; None for none.

    The expression must rise or fall steadily with the symbol, as the sizes of inputs do.
    """

    def at(value: int) -> int:
        return evaluate(text, {symbol: value})

    first, last = within.min, within.max
    sign = 1 if at(last) >= at(first) else -1
    while first < last:
        middle = (first + last) // 2
        if sign * at(middle) < sign * size:
            first = middle + 1
        else:
            last = middle
    return first if at(first) == size else None


@cache
def symbols_of(text: str) -> frozenset[str]:
    """The names of the symbols that an expression mentions."""
    nodes = list(ast.walk(_parse(text)))
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return frozenset(n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in functions)


@cache
def _parse(text: str) -> ast.expr:
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError) as error:
        raise LoadError(f"{text!r} is not a size: {error}") from error


def _value(node: ast.expr, sizes: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Constant(value=int(value)):
            return Fraction(value)
        case ast.Name(id=name):
            return sizes[name]
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, sizes)
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=int(power))) if (
            0 <= power <= _MAX_EXPONENT
        ):
            return Fraction(_value(left, sizes) ** power)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return Fraction(_BINARY[type(op)](_value(left, sizes), _value(right, sizes)))
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _CALLS:
            return Fraction(_CALLS[name](*(_value(arg, sizes) for arg in args)))
    raise LoadError(f"{ast.unparse(node)!r} is no part of a size")
