"""Sizes that PyTorch computes in float64, as quotients of integers, which engines can compute.

``floor(0.7 * n)`` is ``7 * n // 10`` for most n, but not for all: the product is rounded. What
stands for it is tried at every size in its range. Where nothing does, and for roots and the like,
an engine can look the value up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from functools import cache
from typing import Any

from trtdsl.types import Dim, DimRange, bind

__all__ = ["in_integers", "in_table"]

_DIGITS = range(1, 8)
_MOST = 2**17
"""So many sizes are tried, or put into a table, at most."""


def in_integers(dim: Dim, ranges: Mapping[str, DimRange]) -> Any:
    """A size in which quotients of small integers stand for products with floats, where some do."""
    import sympy

    if isinstance(dim, int) or not dim.has(sympy.Float):
        return dim

    def exact(quotient: Any) -> Any:
        # The product of several sizes may be rounded in more orders than one.
        names = {s.name for s in quotient.free_symbols}
        known = ranges.get(names.pop()) if len(names) == 1 else None
        return quotient if known is None else _exact(quotient, known)

    dim = dim.replace(sympy.ceiling, lambda x: -sympy.floor(-x))
    return dim.replace(lambda e: isinstance(e, sympy.floor) and e.has(sympy.Float), exact)


@cache
def _exact(quotient: Any, known: DimRange) -> Any:
    """A ``floor`` of a product with floats, by the simplest fractions in their place that agree."""
    import sympy

    (symbol,) = quotient.free_symbols
    sizes = range(known.min, known.max + 1)
    if len(sizes) > _MOST:
        return quotient
    computed = _floats(quotient, symbol)
    wanted = [computed(n) for n in sizes]
    for digits in _DIGITS:
        most = 10**digits
        candidate = quotient.replace(
            lambda e: e.is_Float,
            lambda e, most=most: sympy.Rational(Fraction(float(e)).limit_denominator(most)),
        )
        above, below = sympy.fraction(sympy.together(candidate.args[0]))
        above, below = (sympy.lambdify([symbol], side, "math") for side in (above, below))
        if all(above(n) // below(n) == size for n, size in zip(sizes, wanted, strict=True)):
            return candidate
    return quotient


def in_table(dim: Dim, ranges: Mapping[str, DimRange]) -> tuple[Any, int, list[int]] | None:
    """The one symbol that a size is made of, its least value, and the sizes from there on."""
    if isinstance(dim, int) or len(dim.free_symbols) != 1:
        return None
    (symbol,) = dim.free_symbols
    known = ranges.get(symbol.name)
    if known is None or known.max - known.min >= _MOST:
        return None
    values = [bind(dim, {symbol.name: n}) for n in range(known.min, known.max + 1)]
    return symbol, known.min, values


def _floats(expr: Any, symbol: Any) -> Callable[[int], int]:
    """The expression in float64, as PyTorch computes it; sympy prints fewer digits."""
    import sympy

    floats = sorted(expr.atoms(sympy.Float))
    stand_ins = [sympy.Dummy() for _ in floats]
    plain = expr.xreplace(dict(zip(floats, stand_ins, strict=True)))
    code = sympy.lambdify([symbol, *stand_ins], plain, "math")
    values = [float(f) for f in floats]
    return lambda size: int(code(size, *values))
