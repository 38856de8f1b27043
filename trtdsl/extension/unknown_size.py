"""``UnknownSize``: a size that only a run will know, for code that computes with sizes as ints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy

from trtdsl.types import Dim, DimRange, as_dim

__all__ = ["UnknownSize", "Unknowns"]


class UnknownSize:
    """A size as an expression: it takes ``+ - * // % **``, ``math.ceil(n / 256)``, ``math.prod``.

    What depends on its value, such as ``n == 1``, ``max(n, 4)``, ``range(n)`` or ``int(n)``, is a
    TypeError, unless it is the same for every value that the size may have: code that took one of
    two ways would be wrong for the sizes of the other.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, expression: Any) -> None:
        self.expression = expression

    def __repr__(self) -> str:
        given = {}
        for symbol in self.expression.free_symbols:
            name, _, least = symbol.name.rpartition("-")
            given[symbol] = sympy.Symbol(name) - int(least)
        return str(sympy.expand(self.expression.subs(given)))

    def __add__(self, other: Any) -> Any:
        return _computed(lambda x, y: x + y, self, other)

    def __radd__(self, other: Any) -> Any:
        return _computed(lambda x, y: x + y, other, self)

    def __sub__(self, other: Any) -> Any:
        return _computed(lambda x, y: x - y, self, other)

    def __rsub__(self, other: Any) -> Any:
        return _computed(lambda x, y: x - y, other, self)

    def __mul__(self, other: Any) -> Any:
        return _computed(lambda x, y: x * y, self, other)

    def __rmul__(self, other: Any) -> Any:
        return _computed(lambda x, y: x * y, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return _computed(lambda x, y: sympy.floor(x / y), self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return _computed(lambda x, y: sympy.floor(x / y), other, self)

    def __truediv__(self, other: Any) -> Any:
        return _computed(lambda x, y: x / y, self, other)

    def __mod__(self, other: Any) -> Any:
        return _computed(lambda x, y: x - y * sympy.floor(x / y), self, other)

    def __pow__(self, other: Any) -> Any:
        if not isinstance(other, int) or other < 0:
            return NotImplemented
        return _computed(lambda x, y: x**y, self, other)

    def __neg__(self) -> Any:
        return 0 - self

    def __pos__(self) -> UnknownSize:
        return self

    def __ceil__(self) -> Any:
        return _made(sympy.ceiling(self.expression))

    def __floor__(self) -> Any:
        return _made(sympy.floor(self.expression))

    def __bool__(self) -> bool:
        return not _decided(self, 0, "==", lambda d: d.is_zero)

    def __eq__(self, other: object) -> bool:
        return _decided(self, other, "==", lambda d: d.is_zero)

    def __ne__(self, other: object) -> bool:
        return not _decided(self, other, "!=", lambda d: d.is_zero)

    def __lt__(self, other: Any) -> bool:
        return _decided(self, other, "<", lambda d: d.is_negative)

    def __le__(self, other: Any) -> bool:
        return _decided(self, other, "<=", lambda d: d.is_nonpositive)

    def __gt__(self, other: Any) -> bool:
        return _decided(self, other, ">", lambda d: d.is_positive)

    def __ge__(self, other: Any) -> bool:
        return _decided(self, other, ">=", lambda d: d.is_nonnegative)


class Unknowns:
    """The sizes of a network as UnknownSizes, and back: ``ranges`` has those of its symbols.

    An UnknownSize has symbols of its own, ``"n-4"`` for what is above the least value of n, 4, so
    that sympy's assumptions say which values there are.
    """

    def __init__(self, ranges: Mapping[str, DimRange]) -> None:
        self._ranges = ranges
        self._given: dict[Any, Any] = {}

    def size(self, size: Dim) -> Any:
        """An int as it is; the UnknownSize of an expression."""
        if isinstance(size, int):
            return size
        own = {}
        for symbol in size.free_symbols:
            least = self._ranges[symbol.name].min
            above = sympy.Symbol(f"{symbol.name}-{least}", integer=True, nonnegative=True)
            own[symbol] = above + least
            self._given[above] = symbol - least
        return _made(size.subs(own))

    def expression(self, value: Any) -> Dim:
        """The network's expression of an UnknownSize; any other number as an int.

        Errors: TypeError for what is no whole number.
        """
        if not isinstance(value, UnknownSize):
            return int(value)
        if value.expression.is_integer is not True:
            raise TypeError(f"{value} is no whole number")
        return as_dim(value.expression.subs(self._given))


def _computed(operation: Callable[[Any, Any], Any], x: Any, y: Any) -> Any:
    if not all(isinstance(v, int | UnknownSize) for v in (x, y)):
        return NotImplemented
    sizes = [v.expression if isinstance(v, UnknownSize) else sympy.Integer(int(v)) for v in (x, y)]
    return _made(operation(*sizes))


def _made(expression: Any) -> Any:
    return int(expression) if expression.is_Integer else UnknownSize(expression)


def _decided(x: UnknownSize, y: Any, sign: str, holds: Callable[[Any], bool | None]) -> bool:
    """What a comparison gives for every value. Errors: TypeError where it depends on the value."""
    other = y.expression if isinstance(y, UnknownSize) else y
    if not isinstance(y, int | float | UnknownSize):
        return False  # as None is no size
    answer = holds(sympy.expand(x.expression - other))
    if answer is None:
        raise TypeError(f"whether {x} {sign} {y} depends on the size")
    return answer
