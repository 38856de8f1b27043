"""Linear layers and products of matrices and vectors."""

from __future__ import annotations

from typing import Any

import torch

from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze, reshapes, transposes
from trtdsl.network import Tensor
from trtdsl.operators import align, total
from trtdsl.registry import converter

from .arithmetic import scaled_before

__all__ = ["addmm", "linear", "multiply", "order_of_rows", "rows_of"]

aten = torch.ops.aten


@converter(aten.linear.default)
def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input @ weight.T + bias``: ``(*B, K), (N, K) -> (*B, N)``, or ``(K,)`` to ``(*B,)``."""
    if order := order_of_rows(input):
        assert input.producer is not None
        return linear(input.producer.inputs[0], weight, bias).permute(*order)
    if weight.rank == 1:
        product = input @ weight
    elif input.rank == 1:
        product = Squeeze(axes=(0,))(_times_transposed(Unsqueeze(axes=(0,))(input), weight))
    else:
        product = _times_transposed(input, weight)
    return product if bias is None else product + bias


@converter(aten.addmm.default)
def addmm(x: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * x + alpha * mat1 @ mat2``: ``(M, K), (K, N) -> (M, N)``."""
    rows = rows_of(mat1) if mat2.is_constant and x.shape[:-1] in ((), (1,)) else mat1
    rows, alpha = scaled_before(rows, alpha)
    y = _added(x, multiply(rows, mat2), beta, alpha)
    return y.reshape(mat1.shape[0], mat2.shape[1])


@converter(aten.baddbmm.default)
def baddbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * x + alpha * batch1 @ batch2``: ``(B, M, K), (B, K, N) -> (B, M, N)``."""
    batch1, alpha = scaled_before(batch1, alpha)
    return _added(x, multiply(batch1, batch2), beta, alpha)


@converter(aten.addbmm.default)
def addbmm(
    x: Tensor, batch1: Tensor, batch2: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """``beta * x + alpha * (batch1 @ batch2).sum(0)``: ``(B, M, K), (B, K, N) -> (M, N)``."""
    batch1, alpha = scaled_before(batch1, alpha)
    return _added(x, total(multiply(batch1, batch2), (0,)), beta, alpha)


@converter(aten.addmv.default)
def addmv(x: Tensor, mat: Tensor, vec: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
    """``beta * x + alpha * mat @ vec``: ``(M, K), (K,) -> (M,)``."""
    mat, alpha = scaled_before(mat, alpha)
    return _added(x, mat @ vec, beta, alpha)


@converter(aten.mm.default)
def mm(x: Tensor, mat2: Tensor) -> Tensor:
    """``(M, K), (K, N) -> (M, N)``."""
    rows = rows_of(x) if mat2.is_constant else x
    return multiply(rows, mat2).reshape(x.shape[0], mat2.shape[1])


@converter(aten.bmm.default)
def bmm(x: Tensor, mat2: Tensor) -> Tensor:
    """``(B, M, K), (B, K, N) -> (B, M, N)``."""
    return multiply(x, mat2)


@converter(aten.matmul.default)
def matmul(x: Tensor, other: Tensor) -> Tensor:
    """``torch.matmul``: of vectors, matrices and batches of them, which broadcast."""
    return x @ other if 1 in (x.rank, other.rank) else multiply(x, other)


@converter(aten.mv.default)
def mv(x: Tensor, vec: Tensor) -> Tensor:
    """``(M, K), (K,) -> (M,)``."""
    return x @ vec


@converter(aten.dot.default)
def dot(x: Tensor, tensor: Tensor) -> Tensor:
    """``(K,), (K,) -> ()``."""
    return total(x * tensor, (0,))


@converter(aten.outer.default)
def outer(x: Tensor, vec2: Tensor) -> Tensor:
    """``(M,), (N,) -> (M, N)``."""
    return Unsqueeze(axes=(1,))(x) * Unsqueeze(axes=(0,))(vec2)


@converter(aten.ger.default)
def ger(x: Tensor, vec2: Tensor) -> Tensor:
    """``outer`` under its older name."""
    return outer(x, vec2)


@converter(aten.bilinear.default)
def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``input1 @ weight[k] @ input2 + bias[k]``: ``(*B, I), (*B, J), (K, I, J) -> (*B, K)``."""
    maps, left, right = weight.shape
    columns = weight.permute(1, 0, 2).reshape(left, maps * right)
    rows = multiply(input1.reshape(-1, left), columns).reshape(-1, maps, right)
    product = rows @ input2.reshape(-1, right, 1)
    y = product.reshape(*input1.shape[:-1], maps)
    return y if bias is None else y + bias


def _added(x: Tensor, product: Tensor, beta: Any, alpha: Any) -> Tensor:
    if product.dtype.is_integer:
        beta, alpha = int(beta), int(alpha)  # as PyTorch does
    if alpha != 1:
        product = product * alpha
    if beta == 0:  # PyTorch then ignores x, nan and inf included
        return product
    return product + (x if beta == 1 else x * beta)


def order_of_rows(x: Tensor) -> tuple[int, ...]:
    """How the axes of x before its last were transposed; nothing where they were not.

    A product is the same before as after. For rows that are not where they lie in memory, as those
    of ``MultiheadAttention(batch_first=True)``, TensorRT 8.6 was seen to take a kernel that needs
    five times as long.
    """
    layer = x.producer.layer if x.producer else None
    if not transposes(layer):
        return ()
    order = layer.first_transpose or ()
    return order if order and order[-1] == x.rank - 1 else ()


def rows_of(x: Tensor) -> Tensor:
    """A matrix as the batch that it was made of: linear layers are written with ``view`` too.

    TensorRT 8.6 was seen to fuse less around a reshape.
    """
    made = x.producer
    if made is None or not reshapes(made.layer):
        return x
    (batch,) = made.inputs
    return batch if batch.rank > 2 and batch.shape[-1] == x.shape[-1] else x


def _times_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T``, of which TensorRT reads the weight as it lies in memory."""
    if x.dtype.is_integer:
        return x @ weight.permute(1, 0)
    rows, columns = align(x, weight)
    return MatrixMultiply(op1=MatrixOperation.TRANSPOSE)(rows, columns)


def multiply(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y`` of ranks of 2 and more; operands that only were transposed are read in place."""
    if x.dtype.is_integer:
        return x @ y
    (x, op0), (y, op1) = _untransposed(x), _untransposed(y)
    return MatrixMultiply(op0=op0, op1=op1)(*align(x, y))


def _untransposed(x: Tensor) -> tuple[Tensor, MatrixOperation]:
    swapped = (*range(x.rank - 2), x.rank - 1, x.rank - 2)
    if x.producer and x.producer.layer == Shuffle(first_transpose=swapped):
        return x.producer.inputs[0], MatrixOperation.TRANSPOSE
    return x, MatrixOperation.NONE
