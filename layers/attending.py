"""``attending``: which queries an attention's mask lets attend to any key."""

from __future__ import annotations

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.cast import Cast
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.constant import Constant
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.gather import Gather
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.moves import MOVES
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.select import Select
from trtdsl.network import Operation, Tensor
from trtdsl.reference import fold, settle
from trtdsl.types import DType

__all__ = ["attending"]

_SUMS_OF_PRODUCTS = (MatrixMultiply, Convolution, Deconvolution, Normalization)
_ALIKE = (*MOVES, Concatenation, Gather, Select, Reduce)
_ARITHMETIC = (
    ElementWiseOperation.SUM, ElementWiseOperation.SUB, ElementWiseOperation.PROD,
    ElementWiseOperation.MIN, ElementWiseOperation.MAX,
)  # fmt: skip
_FUNCTIONS = (ActivationType.RELU, ActivationType.SIGMOID, ActivationType.TANH)
_MODEST = 2.0**64
"""The product of two such numbers is finite in float32; the lowest one, added twice, is not."""


def attending(mask: Tensor) -> Tensor | None:
    """Of a mask ``(.., L, S)``, bool ``(.., L, 1)``; None where every query may attend to a key.

    So it is in a mask of sums of products, as relative positions are (SAM): they are infinite only
    where they overflow, and an answer of such numbers is NaN.
    """
    largest = Reduce(op=ReduceOperation.MAX, axes=(3,), keep_dimensions=True)
    if mask.dtype is DType.BOOL:
        some = largest(mask.cast(DType.INT32)).cast(DType.BOOL)
    elif not mask.is_constant and not _may_be_infinite(mask):
        return None
    else:
        highest = largest(mask)
        some = ~(Unary(op=UnaryOperation.ISINF)(highest) & (highest < 0))
    if some.is_constant and bool(fold(some).all()):
        settle(some)
        return None
    return some


def _may_be_infinite(mask: Tensor) -> bool:
    """Whether an infinity can be in it unless such a sum overflows, as far as its layers tell."""
    seen: set[Tensor] = set()
    left = [mask]
    while left:
        x = left.pop()
        if x in seen or not x.dtype.is_float:
            continue
        seen.add(x)
        if x.is_constant:
            if not _is_modest(x):
                return True
        elif x.producer is None or not _keeps_finite(x.producer):
            return True
        elif not isinstance(x.producer.layer, _SUMS_OF_PRODUCTS):
            left += x.producer.inputs
    return False


def _is_modest(constant: Tensor) -> bool:
    """Whether its numbers are, and none is of the model's state, which a refit may change."""
    made = [op.layer for op in constant.ancestry() if isinstance(op.layer, Constant)]
    known = all(layer.weights.name is None for layer in made)
    return known and bool((fold(constant).abs() <= _MODEST).all())


def _keeps_finite(operation: Operation) -> bool:
    layer = operation.layer
    if isinstance(layer, ElementWise):
        return layer.op in _ARITHMETIC
    if isinstance(layer, Activation):
        return layer.type in _FUNCTIONS
    if isinstance(layer, Cast):
        return layer.dtype is DType.FLOAT32  # 16 bits make infinities of large numbers
    return isinstance(layer, _SUMS_OF_PRODUCTS + _ALIKE)
