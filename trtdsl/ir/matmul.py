"""``MatrixMultiply``: products of matrices, vectors and batches of them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.types import Dim, TensorType, broadcast

if TYPE_CHECKING:
    import torch

    from trtdsl.tensorrt_api import Api

__all__ = ["MatrixMultiply", "MatrixOperation"]


class MatrixOperation(Enum):
    """How an operand is read. Source: tensorrt.MatrixOperation."""

    NONE = auto()
    TRANSPOSE = auto()
    VECTOR = auto()


@dataclass(frozen=True, kw_only=True)
class MatrixMultiply(Layer):
    """``op0(x) @ op1(y)``: ``(*B, M, K), (*B, K, N) -> (*B, M, N)``; sizes of 1 in B broadcast.

    Source: INetworkDefinition.add_matrix_multiply.
    """

    op0: MatrixOperation = MatrixOperation.NONE
    op1: MatrixOperation = MatrixOperation.NONE

    def infer(self, x: TensorType, y: TensorType) -> TensorType:
        self.require_floats(x, y)
        batch0, rows, inner0 = self._split(x, self.op0)
        batch1, columns, inner1 = self._split(y, _FLIP[self.op1])
        both = isinstance(inner0, int) and isinstance(inner1, int)
        self.require(
            not both or inner0 == inner1, f"inner sizes {inner0} and {inner1} differ: {x}, {y}"
        )
        self.require(len(batch0) == len(batch1), f"ranks do not align: {x}, {y}")
        try:
            batch = broadcast(batch0, batch1)
        except ValueError:
            self.require(False, f"batch sizes do not broadcast: {x}, {y}")
        return x.with_shape((*batch, *rows, *columns))

    def evaluate(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        x = x.mT if self.op0 is MatrixOperation.TRANSPOSE else x
        y = y.mT if self.op1 is MatrixOperation.TRANSPOSE else y
        x = x.unsqueeze(-2) if self.op0 is MatrixOperation.VECTOR else x
        y = y.unsqueeze(-1) if self.op1 is MatrixOperation.VECTOR else y
        product = x @ y
        product = product.squeeze(-1) if self.op1 is MatrixOperation.VECTOR else product
        vector = -1 if self.op1 is MatrixOperation.VECTOR else -2
        return product.squeeze(vector) if self.op0 is MatrixOperation.VECTOR else product

    def lower(self, api: Api, x: Any, y: Any) -> Any:
        op0, op1 = (api.enum("MatrixOperation", op) for op in (self.op0, self.op1))
        return api.add_matrix_multiply(x, op0, y, op1)

    def _split(
        self, x: TensorType, op: MatrixOperation
    ) -> tuple[tuple[Dim, ...], tuple[Dim, ...], Dim]:
        """Batch sizes, the outer size (none for a vector), and the inner size."""
        vector = op is MatrixOperation.VECTOR
        self.require(
            x.rank >= (1 if vector else 2), f"{x} is no {'vector' if vector else 'matrix'}"
        )
        if vector:
            return x.shape[:-1], (), x.shape[-1]
        rows, columns = x.shape[-2:]
        if op is MatrixOperation.TRANSPOSE:
            rows, columns = columns, rows
        return x.shape[:-2], (rows,), columns


# The second operand's outer size is its columns, so it is split as if it were the other way round.
_FLIP = {
    MatrixOperation.NONE: MatrixOperation.TRANSPOSE,
    MatrixOperation.TRANSPOSE: MatrixOperation.NONE,
    MatrixOperation.VECTOR: MatrixOperation.VECTOR,
}
