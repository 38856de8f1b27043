"""Sizes of a plugin's outputs as expressions of TensorRT's IExprBuilder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from typing import Any, TypeVar

import sympy

from trtdsl.errors import BuildError
from trtdsl.types import Dim

__all__ = ["read", "write"]

Expression = TypeVar("Expression")

_SIZE = {"integer": True, "positive": True}
_OPERATIONS = {sympy.Add: "SUM", sympy.Mul: "PROD", sympy.Max: "MAX", sympy.Min: "MIN"}


def read(
    sizes: Sequence[Sequence[Expression]],
    constant: Callable[[Expression], int | None],
    names: Sequence[Sequence[str]] = (),
) -> tuple[list[tuple[Dim, ...]], dict[Any, Expression]]:
    """The shapes of a plugin's inputs, and the expressions that the symbols in them stand for.

    ``constant`` gives the value of an expression that is one, None of any other. TensorRT does not
    tell whether two of the others are equal; those that have one of the ``names`` are.
    """
    known: dict[Any, Expression] = {}
    shapes = []
    for i, expressions in enumerate(sizes):
        shape: list[Dim] = []
        for axis, expression in enumerate(expressions):
            value = constant(expression)
            if value is None:
                name = names[i][axis] if names else f"s{i}_{axis}"
                value = sympy.Symbol(name, **_SIZE)
                known.setdefault(value, expression)
            shape.append(value)
        shapes.append(tuple(shape))
    return shapes, known


def write(
    size: Dim,
    known: Mapping[Any, Expression],
    constant: Callable[[int], Expression],
    operation: Callable[[str, Expression, Expression], Expression],
) -> Expression:
    """A size as an expression. ``operation`` gets a name of DimensionOperation, as ``"SUM"``.

    Errors: BuildError for what is no sum, product, quotient, maximum or minimum.
    """

    def walk(e: Any) -> Expression:
        if e in known:
            return known[e]
        if e.is_Integer:
            return constant(int(e))
        if isinstance(e, sympy.floor | _Up):
            numerator, denominator = sympy.fraction(sympy.together(e.args[0]))
            rounded = "CEIL_DIV" if isinstance(e, _Up) else "FLOOR_DIV"
            return operation(rounded, walk(numerator), walk(denominator))
        for kind, name in _OPERATIONS.items():
            if isinstance(e, kind):
                return reduce(partial(operation, name), map(walk, e.args))
        raise BuildError(f"an output's size {e} is no sum, product, quotient, maximum or minimum")

    return walk(_plain(sympy.sympify(size)))


class _Up(sympy.Function):  # type: ignore[misc]
    """A quotient rounded up; sympy turns its own into one of negative numbers rounded down."""


def _plain(size: Any) -> Any:
    """Remainders and powers in the operations that there are; no quotient of negative numbers."""
    size = size.replace(sympy.Mod, lambda x, y: x - y * sympy.floor(x / y))
    size = size.replace(sympy.ceiling, _Up)
    size = size.replace(
        lambda e: isinstance(e, sympy.floor) and sympy.expand(e.args[0]).could_extract_minus_sign(),
        lambda e: -_Up(-e.args[0]),
    )
    return size.replace(
        lambda e: e.is_Pow and e.exp.is_Integer and e.exp > 0,
        lambda e: sympy.Mul(*[e.base] * int(e.exp), evaluate=False),
    )
