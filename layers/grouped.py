"""Converters of products with one matrix for each group of rows: mixtures of experts."""

from __future__ import annotations

from trtdsl.errors import ConversionError, explain
from trtdsl.network import Network, Tensor
from trtdsl.operators import cast, matmul, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .creation import iota
from .indexing import index, select
from .reduction import sum_dim

__all__: list[str] = []


@converter("transformers::grouped_mm_fallback")
def grouped_mm_fallback(net: Network, input: Tensor, weight: Tensor, offs: Tensor) -> Tensor:
    """Rows up to each of ``offs`` by their group's matrix: ``(S, K), (G, K, N), (G,) -> (S, N)``.

    Every row is multiplied by every matrix, as the sizes of groups are not known, and its own
    product is picked: G times the arithmetic that PyTorch needs.
    """
    rows = input.shape[0]
    numbers = iota(net, rows)
    ends = cast(offs, DType.INT64).reshape(offs.shape[0], 1)
    group = sum_dim(cast(ends <= numbers, DType.INT64), [0])
    inside = numbers < select(cast(offs, DType.INT64), 0, -1)
    products = matmul(input.reshape(1, *input.shape), weight)
    own = index(products, [where(inside, group, 0), numbers])
    return where(inside.reshape(rows, 1), own, 0.0, own.dtype)


@converter("aten::_grouped_mm")
def grouped_mm(
    net: Network,
    x: Tensor,
    mat2: Tensor,
    offs: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: DType | None = None,
) -> Tensor:
    """As ``grouped_mm_fallback``; of two batches, the product of each pair."""
    if x.rank == 3 and mat2.rank == 3:
        y = matmul(x, mat2)
    elif x.rank == 2 and mat2.rank == 3 and offs is not None:
        y = grouped_mm_fallback(net, x, mat2, offs)
    else:
        raise ConversionError(
            explain(
                f"grouped_mm of {x} and {mat2}: an engine cannot have groups of columns",
                fix="multiply with a matrix for each group of rows, (S, K) by (G, K, N)",
            )
        )
    y = y if bias is None else y + bias
    return y if out_dtype is None else cast(y, out_dtype)
