"""``infinities``: infinite constants that stay infinite without strongly typed networks.

TensorRT 8.6 was seen to read an infinite constant that broadcasts as 1e38, and what is computed of
sizes and constants alone too. Where sizes are known it can have all elements of the larger tensor;
where they vary, the largest finite number becomes an infinity by what only the run knows.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import ElementWise, Unary, UnaryOperation
from trtdsl.ir.select import Select
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast, less, maximum, where
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.reference import fold
from trtdsl.types import DType, Shape

__all__ = ["infinities"]


def infinities(network: Network) -> Network:
    """A network that computes the same, whose infinite constants broadcast to static sizes only."""
    return rewrite(network, _rule)


def _rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
    if not isinstance(operation.layer, ElementWise | Select):
        return None
    (y,) = operation.outputs
    if y.type.is_static or not any(_is_cut(x, y.shape) for x in inputs):
        return None
    once = _once(next(x for x in inputs if not x.is_constant))
    made = operation.layer(*(_in_the_run(x, once) if _is_cut(x, y.shape) else x for x in inputs))
    return (named(made, operation),)


def _is_cut(x: Tensor, shape: Shape) -> bool:
    broadcasts = x.is_constant and x.dtype.is_float and x.shape != shape
    return broadcasts and bool(fold(x).isinf().any())


def _once(x: Tensor) -> Tensor:
    """1.0 for each element of x: the larger of that and of what a comparison gives."""
    known = x if x.dtype is DType.BOOL else less(0, x)
    return maximum(cast(known, DType.FLOAT32), 1.0)


def _in_the_run(x: Tensor, once: Tensor) -> Tensor:
    """A constant, its infinities as the largest number, and that once more.

    In float32, of which a cast makes infinities of 16 bits.
    """
    import torch

    wide, largest = cast(x, DType.FLOAT32), torch.finfo(torch.float32).max
    infinite = Unary(op=UnaryOperation.ISINF)(wide)
    finite = where(infinite, where(wide < 0, -largest, largest, DType.FLOAT32), wide)
    made = finite * (cast(infinite, DType.FLOAT32) * once + 1)
    return cast(made, x.dtype)
