"""Numbers made of sizes that are no sizes themselves: ``n / 3``, ``n ** 0.5``, ``n > 4``.

And whole ones made of numbers that are read from tensors, ``x.item() + 1``.

PyTorch calls them SymFloat and SymBool. As expressions they hold a floating-point number, so that
``1.0 * n`` is told from ``n``; in a network they are scalars of float32 or bool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

from trtdsl import operators
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.types import Dim, DType, symbols

if TYPE_CHECKING:
    from trtdsl.network import Network, Tensor

__all__ = ["is_read", "is_real", "is_truth", "real", "whole"]

_FUNCTIONS = {
    "exp": UnaryOperation.EXP,
    "log": UnaryOperation.LOG,
    "sin": UnaryOperation.SIN,
    "cos": UnaryOperation.COS,
    "tan": UnaryOperation.TAN,
    "sinh": UnaryOperation.SINH,
    "cosh": UnaryOperation.COSH,
    "asin": UnaryOperation.ASIN,
    "acos": UnaryOperation.ACOS,
    "atan": UnaryOperation.ATAN,
    "asinh": UnaryOperation.ASINH,
    "floor": UnaryOperation.FLOOR,
    "ceiling": UnaryOperation.CEIL,
}
_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": lambda x, y: operators.add(x, y),
    "Mul": lambda x, y: operators.multiply(x, y),
    "Max": lambda x, y: operators.maximum(x, y),
    "Min": lambda x, y: operators.minimum(x, y),
    "Mod": lambda x, y: operators.remainder(x, y),
    "Pow": lambda x, y: operators.power(x, y),
    "Equality": lambda x, y: operators.equal(x, y),
    "Unequality": lambda x, y: operators.logical_not(operators.equal(x, y)),
    "StrictLessThan": lambda x, y: operators.less(x, y),
    "StrictGreaterThan": lambda x, y: operators.less(y, x),
    "LessThan": lambda x, y: operators.less_equal(x, y),
    "GreaterThan": lambda x, y: operators.less_equal(y, x),
    "And": lambda x, y: operators.logical_and(x, y),
    "Or": lambda x, y: operators.logical_or(x, y),
}


def is_real(value: Dim) -> bool:
    """Whether an expression is a floating-point number, as ``1.0 * n`` is and ``n // 2`` is not."""
    import sympy

    real = isinstance(value, sympy.Expr) and value.is_integer is not True
    return real and (value.has(sympy.Float) or value.is_integer is False)


def is_truth(value: Dim) -> bool:
    """Whether an expression is true or false."""
    import sympy

    return isinstance(value, sympy.logic.boolalg.Boolean) and not isinstance(value, sympy.Expr)


def is_read(network: Network, value: Dim) -> bool:
    """Whether an expression has a number in it of which only the engine knows how large it is."""
    return bool(symbols([value]) & (network.numbers.keys() - network.symbols.keys()))


def whole(network: Network, value: Any) -> Tensor:
    """The integer expression as an int64 scalar that the engine computes, of any size.

    Errors: ConversionError for a function that TensorRT has no layer for.
    """
    if getattr(value, "is_Number", False):
        return network.constant(int(value), DType.INT64)
    if not value.args:
        return operators.as_tensor(value, network)
    name = type(value).__name__
    if name in ("floor", "ceiling"):
        above, below = (whole(network, part) for part in value.args[0].as_numer_denom())
        if name == "floor":
            return operators.floor_divide(above, below)
        return operators.negative(operators.floor_divide(operators.negative(above), below))
    return _folded(name, value, [whole(network, a) for a in value.args])


def real(network: Network, value: Any) -> Tensor:
    """The expression as a scalar that the engine computes: of float32, or bool.

    Errors: ConversionError for a function that TensorRT has no layer for.
    """
    import sympy

    if getattr(value, "is_Number", False):
        return network.constant(float(value), DType.FLOAT32)
    if value in (sympy.true, sympy.false):
        return network.constant(bool(value))
    if getattr(value, "is_integer", None) is True:
        return operators.as_tensor(value, network, DType.FLOAT32)
    arguments = [real(network, a) for a in value.args]
    name = type(value).__name__
    if name in _FUNCTIONS:
        return Unary(op=_FUNCTIONS[name])(arguments[0])
    return _folded(name, value, arguments)


def _folded(name: str, value: Any, arguments: Sequence[Tensor]) -> Tensor:
    if name in _OPERATIONS:
        return reduce(_OPERATIONS[name], arguments)
    raise ConversionError(
        explain(
            f"{value} cannot be computed by an engine: {name} has no layer",
            fix="compute it from torch.tensor(size) with PyTorch's functions",
        )
    )
