"""Products of complex matrices and vectors, and norms, written in their parts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.ir.slice import section
from trtdsl.network import Tensor
from trtdsl.operators import matmul
from trtdsl.registry import converter, find, of_products
from trtdsl.types import DType, is_static

from .complex import magnitude
from .complex_arithmetic import add, bilinear, multiply
from .contraction import einsum as einsum_
from .creation import filled
from .shape import mT

__all__: list[str] = []

aten = torch.ops.aten

of_products(
    aten.conv1d.default, aten.conv2d.default, aten.conv3d.default, aten.conv1d.padding,
    aten.conv2d.padding, aten.conv3d.padding, aten.conv_transpose1d.default,
    aten.conv_transpose2d.input, aten.conv_transpose3d.input, aten.convolution.default,
    aten.inner.default, aten.kron.default, aten.tensordot.default,
)  # fmt: skip


@converter(aten.prod.dim_int, complex=True)
def prod_dim(x: Complex, dim: int, keepdim: bool = False, *, dtype: Any = None) -> Complex:
    """The product along an axis. Errors: ConversionError for one of a size that varies."""
    if isinstance(dtype, DType):
        raise ConversionError(
            explain(
                f"the product of complex numbers as {dtype.value}",
                fix="leave dtype out, and take torch.real of it",
            )
        )
    if x.rank == 0:
        return x
    axis = dim % x.rank
    count = x.shape[axis]
    if not is_static((count,)):
        raise ConversionError(
            explain(
                f"the product of {count} complex numbers, of which there are not always as many",
                fix="add their logarithms, and take torch.exp of the sum",
            )
        )
    product = _product(x, axis, int(count)) if count else _one(x, axis)
    return product if keepdim else product.map(Squeeze(axes=(axis,)))


@converter(aten.prod.default, complex=True)
def prod(x: Complex, *, dtype: Any = None) -> Complex:
    """The product of all elements, as ``prod_dim``."""
    return prod_dim(x.map(lambda part: part.reshape(math.prod(x.shape))), 0, dtype=dtype)


def _one(x: Complex, axis: int) -> Complex:
    """The product of nothing."""
    shape = (*x.shape[:axis], 1, *x.shape[axis + 1 :])
    real, imag = (filled(x.network, shape, number, x.dtype) for number in (1.0, 0.0))
    return Complex(real, imag)


def _product(x: Complex, axis: int, count: int) -> Complex:
    """One half times the other, as often as there are two."""
    if count == 1:
        return x

    def part(start: int, size: int) -> Complex:
        return x.map(lambda t: section(t, axis, start, size))

    half = count // 2
    product = _product(multiply(part(0, half), part(half, half)), axis, half)
    return multiply(product, part(count - 1, 1)) if count % 2 else product


@converter(aten.matmul.default, complex=True)
def matmul_(x: Tensor | Complex, other: Tensor | Complex) -> Complex:
    """``torch.matmul``: of vectors, matrices and batches of them."""
    return bilinear(matmul, x, other)


@converter(aten.mm.default, aten.bmm.default, complex=True)
def mm(x: Tensor | Complex, mat2: Tensor | Complex) -> Complex:
    """``(*B, M, K), (*B, K, N) -> (*B, M, N)``."""
    return bilinear(matmul, x, mat2)


@converter(aten.mv.default, complex=True)
def mv(x: Tensor | Complex, vec: Tensor | Complex) -> Complex:
    """``(M, K), (K,) -> (M,)``."""
    return bilinear(matmul, x, vec)


@converter(aten.addmm.default, complex=True)
def addmm(
    x: Tensor | Complex,
    mat1: Tensor | Complex,
    mat2: Tensor | Complex,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Complex:
    """``beta * x + alpha * mat1 @ mat2``."""
    return _added(x, bilinear(matmul, mat1, mat2), beta, alpha)


@converter(aten.baddbmm.default, complex=True)
def baddbmm(
    x: Tensor | Complex,
    batch1: Tensor | Complex,
    batch2: Tensor | Complex,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Complex:
    """``beta * x + alpha * batch1 @ batch2``."""
    return _added(x, bilinear(matmul, batch1, batch2), beta, alpha)


@converter(aten.addmv.default, complex=True)
def addmv(
    x: Tensor | Complex,
    mat: Tensor | Complex,
    vec: Tensor | Complex,
    *,
    beta: Any = 1,
    alpha: Any = 1,
) -> Complex:
    """``beta * x + alpha * mat @ vec``."""
    return _added(x, bilinear(matmul, mat, vec), beta, alpha)


def _added(x: Tensor | Complex, product: Complex, beta: Any, alpha: Any) -> Complex:
    product = product if alpha == 1 else multiply(product, alpha)
    if beta == 0:
        return product
    return add(product, x if beta == 1 else multiply(x, beta))


@converter(aten.linear.default, complex=True)
def linear(
    input: Tensor | Complex, weight: Tensor | Complex, bias: Tensor | Complex | None = None
) -> Complex:
    """``input @ weight.T + bias``."""
    if weight.rank > 1:
        weight = weight.map(mT) if isinstance(weight, Complex) else mT(weight)
    product = bilinear(matmul, input, weight)
    return product if bias is None else add(product, bias)


@converter(aten.dot.default, complex=True)
def dot(x: Complex, tensor: Complex) -> Complex:
    """``(K,), (K,) -> ()``."""
    return multiply(x, tensor).map(Reduce(op=ReduceOperation.SUM, axes=(0,)))


@converter(aten.vdot.default, complex=True)
def vdot(x: Complex, other: Complex) -> Complex:
    """``dot`` with the conjugate of x."""
    return dot(x.conjugate(), other)


@converter(aten.outer.default, complex=True)
def outer(x: Tensor | Complex, vec2: Tensor | Complex) -> Complex:
    """``(M,), (N,) -> (M, N)``."""
    return multiply(_with_axis(x, 1), _with_axis(vec2, 0))


def _with_axis(x: Tensor | Complex, axis: int) -> Tensor | Complex:
    layer = Unsqueeze(axes=(axis,))
    return x.map(layer) if isinstance(x, Complex) else layer(x)


@converter(aten.einsum.default, complex=True)
def einsum(
    equation: str, tensors: Sequence[Tensor | Complex], *, path: Sequence[int] | None = None
) -> Complex:
    """Einstein's sum over a complex tensor, or over two of which one is complex or both are."""
    if len(tensors) > 2:
        raise ConversionError(
            explain(
                f"einsum of {len(tensors)} complex tensors",
                fix="write it as a sequence of torch.einsum of two",
            )
        )
    if len(tensors) == 2:
        return bilinear(lambda a, b: einsum_(equation, [a, b]), *tensors)
    (x,) = tensors
    assert isinstance(x, Complex)
    return x.map(lambda part: einsum_(equation, [part]))


@converter(aten.linalg_vector_norm.default, complex=True)
def linalg_vector_norm(
    x: Complex,
    ord: Any = 2,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> Tensor:
    """The norm of the magnitudes."""
    found = find(aten.linalg_vector_norm.default)
    assert found is not None
    y: Tensor = found.function(magnitude(x), ord, dim, keepdim, dtype=dtype)
    return y
