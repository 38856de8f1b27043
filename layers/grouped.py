"""Products of groups of rows, each with its own matrix: the experts of a mixture."""

from __future__ import annotations

from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import logical_and, logical_not, where
from trtdsl.registry import converter

from .joining import cat
from .scan import positions

__all__: list[str] = []


@converter("transformers::grouped_mm_fallback")
def grouped_mm(input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """``(S, K), (E, K, N), (E,) -> (S, N)``: the rows up to ``offs[e]`` by matrix e.

    Rows behind the last group give 0. TensorRT has no product of groups, so that every row meets
    every matrix, and what is not its own is dropped: E times the work, and ``(E, S, N)`` of memory.
    """
    rows = Unsqueeze(axes=(0,))(positions(input, 0).reshape(input.shape[0]))
    ends = offs.cast(rows.dtype)
    count = ends.shape[0]
    starts = (
        cat([section(ends, 0, 0, 1) * 0, section(ends, 0, 0, count - 1)]) if count > 1 else ends * 0
    )
    first, last = (Unsqueeze(axes=(1,))(x) for x in (starts, ends))
    own = Unsqueeze(axes=(2,))(logical_and(logical_not(rows < first), rows < last))
    products = Unsqueeze(axes=(0,))(input) @ weight
    return Reduce(op=ReduceOperation.SUM, axes=(0,))(where(own, products, 0.0, input.dtype))
