"""Symbolic sizes inside the engine: an expression such as ``2*batch + 1`` as layers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, explain
from trtdsl.types import Dim
from trtdsl.whole_sizes import in_integers, in_table

if TYPE_CHECKING:
    from trtdsl.tensorrt_api import Api

__all__ = ["lower_size", "read_size"]

_LARGEST = 2**31 - 1


def lower_size(api: Api, dim: Dim) -> Any:
    """An ITensor of shape (1,) that holds the size."""
    import sympy

    if isinstance(dim, int) or dim.is_Integer:
        return api.shape_tensor((int(dim),))
    dim = in_integers(dim, api.ranges)
    if _is_looked_up(dim):
        return _look_up(api, dim)
    dim = dim.replace(lambda e: e.is_Float, lambda e: sympy.Rational(e))
    if dim.is_Symbol:
        return api.symbols[dim.name]()
    numerator, denominator = sympy.fraction(sympy.together(dim))
    if getattr(denominator, "free_symbols", ()):
        # TensorRT takes a * b // c for a * (b // c) where c is of b's terms.
        numerator, denominator = sympy.fraction(sympy.cancel(dim))
    if denominator != 1:
        return _divide(api, numerator, denominator)
    if isinstance(dim, sympy.floor):
        return lower_size(api, dim.args[0])  # a quotient is rounded down as it is
    if isinstance(dim, sympy.ceiling):
        return lower_size(api, -sympy.floor(-dim.args[0]))
    if isinstance(dim, sympy.Mod):
        left, right = dim.args
        return lower_size(api, left - right * sympy.floor(left / right))
    if isinstance(dim, sympy.Piecewise):
        return _choose(api, dim.args)
    return _combine(api, dim)


def _is_looked_up(dim: Any) -> bool:
    """Whether a size is rounded from a product with floats or by a function of PyTorch's, or is."""
    import sympy

    roots = any(not power.exp.is_Integer for power in dim.atoms(sympy.Pow))
    inexact = roots or dim.has(sympy.Float) or dim.has(sympy.log)
    return type(dim).__name__ == "RoundToInt" or (isinstance(dim, sympy.floor) and inexact)


def _look_up(api: Api, dim: Dim) -> Any:
    """The value of a size, out of a table of its values. Errors: BuildError."""
    found = in_table(dim, api.ranges)
    if found is None:
        raise BuildError(
            explain(
                f"size {dim} cannot be computed by an engine, nor looked up in a table: it needs "
                "one size of a known range",
                fix="give a target size instead of a fractional scale",
            )
        )
    symbol, least, values = found
    table = api.shape_tensor(tuple(values))
    return api.add_gather(table, lower_size(api, symbol - least), 0).get_output(0)


def _choose(api: Api, cases: Sequence[Any]) -> Any:
    """The value of the first case whose condition holds; that of the last one always does."""
    import sympy

    (value, condition), *others = cases
    if condition == sympy.true or not others:
        return lower_size(api, value)
    holds = _holds(api, condition)
    choice = api.add_select(holds, lower_size(api, value), _choose(api, others))
    return choice.get_output(0)


def _holds(api: Api, condition: Any) -> Any:
    """An ITensor of shape (1,) and bool. Sizes are integers, so ``x >= y`` is ``x > y - 1``."""
    import sympy

    left, right = condition.args
    match condition:
        case sympy.StrictGreaterThan():
            return _elementwise(api, "GREATER", left, right)
        case sympy.GreaterThan():
            return _elementwise(api, "GREATER", left, right - 1)
        case sympy.StrictLessThan():
            return _elementwise(api, "LESS", left, right)
        case sympy.LessThan():
            return _elementwise(api, "LESS", left, right + 1)
        case sympy.Equality():
            return _elementwise(api, "EQUAL", left, right)
    raise BuildError(f"the condition {condition} of a size cannot be computed by an engine")


def _divide(api: Api, numerator: Dim, denominator: Dim) -> Any:
    if any(abs(n) > _LARGEST for n in (*_integers(numerator), *_integers(denominator))):
        raise BuildError(
            explain(
                f"size {numerator}/{denominator} does not fit the engine's integers",
                fix="give a target size instead of a fractional scale",
            )
        )
    return _elementwise(api, "FLOOR_DIV", numerator, denominator)


def _integers(dim: Dim) -> list[int]:
    return [int(a) for a in dim.atoms() if a.is_Integer]


def _combine(api: Api, dim: Any) -> Any:
    import sympy

    names = {sympy.Add: "SUM", sympy.Mul: "PROD", sympy.Max: "MAX", sympy.Min: "MIN"}
    if isinstance(dim, sympy.Pow) and dim.exp.is_Integer and dim.exp > 0:
        factors = [dim.base] * int(dim.exp)
        return reduce(lambda x, y: _add(api, "PROD", x, y), [lower_size(api, f) for f in factors])
    for kind, name in names.items():
        if isinstance(dim, kind):
            operands = [lower_size(api, a) for a in dim.args]
            return reduce(lambda x, y: _add(api, name, x, y), operands)
    raise BuildError(
        f"size {dim} cannot be computed by an engine: {type(dim).__name__} has no layer"
    )


def _elementwise(api: Api, operation: str, x: Dim, y: Dim) -> Any:
    return _add(api, operation, lower_size(api, x), lower_size(api, y))


def _add(api: Api, operation: str, x: Any, y: Any) -> Any:
    kind = getattr(api.trt.ElementWiseOperation, operation)
    return api.add_elementwise(x, y, kind).get_output(0)


def read_size(api: Api, x: Any, axis: int) -> Any:
    """An ITensor of shape (1,) that holds the size of an ITensor along an axis."""
    shape = api.add_shape(x).get_output(0)
    return api.add_slice(shape, (axis,), (1,), (1,)).get_output(0)
