"""Sizes that only a run knows: the arithmetic of ints, and no guess about their values."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import sympy

from trtdsl.extension.unknown_size import Unknowns, UnknownSize
from trtdsl.types import DimRange, bind

N, M = (sympy.Symbol(name, integer=True, positive=True) for name in "nm")
RANGES = {"n": DimRange(min=1, opt=4, max=40), "m": DimRange(min=3, opt=4, max=9)}

COMPUTED: list[Callable[[Any, Any], Any]] = [
    lambda n, m: -(-n // 256),
    lambda n, m: (n * m + 31) // 32,
    lambda n, m: -(-n * m // 7) - (2 - n),
    lambda n, m: n % 4 + (n + m) % m,
    lambda n, m: math.prod((n, 3, m)) // 5 * 5,
    lambda n, m: math.ceil(n / 3) + math.floor(m * n / 7),
    lambda n, m: 100 // n + 7 // (m - 2),
    lambda n, m: n**3 - m**0 + True,
    lambda n, m: +n + -m,
    lambda n, m: sum((n, m, 1)),
    lambda n, m: max(n, 0) * min(2, m) if n >= 1 else 0,
    lambda n, m: n - n + 3,
]


@pytest.mark.parametrize("computed", COMPUTED)
def test_arithmetic_is_that_of_ints(computed: Callable[[Any, Any], Any]) -> None:
    unknowns = Unknowns(RANGES)
    expression = unknowns.expression(computed(unknowns.size(N), unknowns.size(M)))
    for n, m in product((1, 2, 3, 4, 5, 17, 40), (3, 4, 9)):
        assert bind(expression, {"n": n, "m": m}) == computed(n, m)


COMPARED = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("compared", COMPARED)
def test_a_comparison_is_answered_only_where_every_value_agrees(compared: Any) -> None:
    unknowns = Unknowns(RANGES)
    n, m = unknowns.size(N), unknowns.size(M)
    values = list(product(range(1, 200), range(3, 200)))
    for left, right in [
        (lambda n, m: n, lambda n, m: -1),
        (lambda n, m: n, lambda n, m: 0),
        (lambda n, m: n, lambda n, m: 1),
        (lambda n, m: m, lambda n, m: 2),
        (lambda n, m: n * m, lambda n, m: n),
        (lambda n, m: n + m, lambda n, m: m),
        (lambda n, m: n, lambda n, m: m),
        (lambda n, m: 2 * n, lambda n, m: n + n),
    ]:
        answers = {compared(left(*v), right(*v)) for v in values}
        assert answered(compared, left(n, m), right(n, m)) == answers


def answered(compared: Any, x: Any, y: Any) -> set[bool]:
    """Both answers where it depends on the sizes."""
    try:
        return {compared(x, y)}
    except TypeError:
        return {True, False}


@pytest.mark.parametrize(
    "asked",
    [int, float, hash, range, list, bool, np.int64, lambda n: {1: 2}[n], lambda n: n in (4, 5)],
)
def test_what_needs_the_value_is_refused(asked: Callable[[Any], Any]) -> None:
    size = Unknowns({"n": DimRange(min=0, opt=4, max=9)}).size(N)
    with pytest.raises(TypeError):
        asked(size)


def test_none_is_no_size_and_a_quotient_no_whole_number() -> None:
    unknowns = Unknowns(RANGES)
    n = unknowns.size(N)
    assert isinstance(n, UnknownSize)
    assert n != None  # noqa: E711
    assert n not in (None, "n")
    assert repr(n * 2 + 1) == "2*n + 1"
    with pytest.raises(TypeError, match="n/2 is no whole number"):
        unknowns.expression(n / 2)
    with pytest.raises(TypeError, match="unsupported operand"):
        n * 0.5
    assert unknowns.expression(np.int64(4)) == 4
