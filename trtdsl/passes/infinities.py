"""``infinities``: infinite constants that stay infinite without strongly typed networks.

TensorRT 8.6 was seen to read an infinite constant that broadcasts as 1e38. Where sizes are known it
can have all elements of the larger tensor; where they vary, a size that is known only in the run
makes an infinity of the largest finite number.
"""

from __future__ import annotations

from trtdsl.ir.elementwise import ElementWise, Unary, UnaryOperation
from trtdsl.ir.select import Select
from trtdsl.network import Network, Operation, Tensor
from trtdsl.operators import cast, minimum, where
from trtdsl.passes.rewrite import rewrite
from trtdsl.reference import fold
from trtdsl.types import DType, Shape, is_static

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
    made = operation.layer(*(_in_the_run(x, y.shape) if _is_cut(x, y.shape) else x for x in inputs))
    assert made.producer is not None
    made.producer.name = operation.name
    return (made,)


def _is_cut(x: Tensor, shape: Shape) -> bool:
    broadcasts = x.is_constant and x.dtype.is_float and x.shape != shape
    return broadcasts and bool(fold(x).isinf().any())


def _in_the_run(x: Tensor, shape: Shape) -> Tensor:
    """A constant, its infinities as twice the largest number: once, and once more as a size is 1.

    A size of 0 leaves it finite, and nothing that reads it. In float32, of which a cast makes
    infinities of 16 bits.
    """
    import torch

    size = next(d for d in shape if not is_static((d,)))
    once = cast(minimum(x.network.size(size), 1), DType.FLOAT32).reshape(*(1,) * x.rank)
    wide, largest = cast(x, DType.FLOAT32), torch.finfo(torch.float32).max
    infinite = Unary(op=UnaryOperation.ISINF)(wide)
    finite = where(infinite, where(wide < 0, -largest, largest, DType.FLOAT32), wide)
    made = finite * (cast(infinite, DType.FLOAT32) * once + 1)
    return cast(made, x.dtype)
