"""``attending``: which queries an attention's mask lets attend to any key."""

from __future__ import annotations

from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.ir.cast import Cast
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation, Unary, UnaryOperation
from trtdsl.ir.gather import Gather
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.select import Select
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.ir.slice import Slice
from trtdsl.network import Operation, Tensor
from trtdsl.reference import fold, settle
from trtdsl.types import DType

__all__ = ["attending"]

_SUMS_OF_PRODUCTS = (MatrixMultiply, Convolution, Deconvolution, Normalization)
_MOVES = (Shuffle, Squeeze, Unsqueeze, Slice, Concatenation, Gather, Select, Cast, Reduce)
_ARITHMETIC = (
    ElementWiseOperation.SUM, ElementWiseOperation.SUB, ElementWiseOperation.PROD,
    ElementWiseOperation.MIN, ElementWiseOperation.MAX,
)  # fmt: skip
_FUNCTIONS = (ActivationType.RELU, ActivationType.SIGMOID, ActivationType.TANH)


def attending(mask: Tensor) -> Tensor | None:
    """Of a mask ``(.., L, S)``, bool ``(.., L, 1)``; None where every query may attend to a key.

    So it is in a mask that is computed from sums of products, as relative positions are (SAM): they
    are infinite only where they overflow, and an answer of such numbers is NaN.
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
    """Whether an infinity can be in it without an overflow, as far as its layers tell."""
    seen: set[Tensor] = set()
    left = [mask]
    while left:
        x = left.pop()
        if x in seen or not x.dtype.is_float:
            continue
        seen.add(x)
        if x.is_constant:
            if bool(fold(x).isinf().any()):
                return True
        elif x.producer is None or not _keeps_finite(x.producer):
            return True
        else:
            sums = isinstance(x.producer.layer, _SUMS_OF_PRODUCTS)
            left += [y for y in x.producer.inputs if y.is_constant or not sums]
    return False


def _keeps_finite(operation: Operation) -> bool:
    layer = operation.layer
    if isinstance(layer, ElementWise):
        return layer.op in _ARITHMETIC
    if isinstance(layer, Activation):
        return layer.type in _FUNCTIONS
    return isinstance(layer, _SUMS_OF_PRODUCTS + _MOVES)
