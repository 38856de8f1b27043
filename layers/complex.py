"""Complex tensors: made, taken apart, moved, joined and summed. TensorRT sees their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.complex import Complex, part_dtype
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.network import Network, Tensor
from trtdsl.operators import logical_and, logical_or, maximum, minimum, promote, where
from trtdsl.registry import converter, of_parts
from trtdsl.types import Dim, DType, broadcast

from .creation import filled
from .function import absolute, atan2, unary
from .indexing import select
from .joining import stack
from .shape import expanded, mT

__all__ = ["magnitude"]

aten = torch.ops.aten
Op = UnaryOperation

of_parts(
    aten.alias.default, aten.chunk.default, aten.clone.default, aten.contiguous.default,
    aten.cumsum.default, aten.detach.default, aten.diagonal.default, aten.expand.default,
    aten.flatten.using_ints, aten.flip.default, aten.gather.default, aten.index.Tensor,
    aten.index_select.default, aten.lift_fresh_copy.default, aten.mean.default, aten.mean.dim,
    aten.movedim.int, aten.movedim.intlist, aten.mT.default, aten.narrow.default,
    aten.neg.default, aten.permute.default, aten.positive.default, aten.repeat.default,
    aten.repeat_interleave.self_int, aten.repeat_interleave.self_Tensor,
    aten.reshape.default, aten.roll.default, aten.select.int,
    aten.slice.Tensor, aten.split.Tensor, aten.split.sizes, aten.split_with_sizes.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.sum.default,
    aten.sum.dim_IntList, aten.swapaxes.default, aten.t.default, aten.tile.default,
    aten.transpose.int, aten.tril.default, aten.triu.default, aten.unbind.int,
    aten.unflatten.int, aten.unsqueeze.default, aten.view.default, aten._unsafe_view.default,
)  # fmt: skip
of_parts(
    aten.broadcast_tensors.default, aten.broadcast_to.default, aten.channel_shuffle.default,
    aten.col2im.default, aten.expand_as.default, aten.im2col.default,
    aten.linalg_diagonal.default, aten.meshgrid.indexing, aten.narrow_copy.default,
    aten.permute_copy.default, aten.pixel_shuffle.default, aten.pixel_unshuffle.default,
    aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default,
    aten.replication_pad1d.default, aten.replication_pad2d.default,
    aten.replication_pad3d.default, aten.reshape_as.default, aten.swapdims.default,
    aten.take.default, aten.take_along_dim.default, aten.tensor_split.indices,
    aten.tensor_split.sections, aten.unfold.default, aten.unsafe_chunk.default,
    aten.unsafe_split.Tensor, aten.unsafe_split_with_sizes.default, aten.view_as.default,
    aten.view_copy.default, aten._pad_circular.default,
)  # fmt: skip
of_parts(aten.cat.default, aten.hstack.default, aten.stack.default, aten.vstack.default)
of_parts(
    aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, joined=("self", "other"),
)  # fmt: skip
of_parts(
    aten.masked_fill.Scalar, aten.masked_fill.Tensor, aten.constant_pad_nd.default,
    aten.pad.default, joined=("value",),
)  # fmt: skip
of_parts(
    aten.zeros.default, aten.zeros_like.default, aten.new_zeros.default, aten.zero.default,
    aten.full.default, aten.full_like.default, aten.new_full.default, joined=("fill_value",),
)  # fmt: skip
of_parts(aten.fill.Scalar, aten.fill.Tensor, joined=("value",))
of_parts(
    aten.copy.default, aten.diagonal_scatter.default, aten.scatter.src, aten.scatter_add.default,
    aten.select_scatter.default, aten.slice_scatter.default, joined=("src",),
)  # fmt: skip
of_parts(
    aten.index_copy.default, aten.masked_scatter.default, aten.put.default, joined=("source",),
)  # fmt: skip
of_parts(aten.index_put.default, aten._unsafe_index_put.default, joined=("values",))
of_parts(
    aten.index_fill.int_Scalar, aten.index_fill.int_Tensor, aten.scatter.value, joined=("value",),
)  # fmt: skip


@converter(aten.view_as_complex.default, complex=True)
def view_as_complex(x: Tensor) -> Complex:
    """``(*S, 2)`` to complex ``(*S)``."""
    return Complex(select(x, -1, 0), select(x, -1, 1))


@converter(aten.view_as_real.default, complex=True)
def view_as_real(x: Complex) -> Tensor:
    """Complex ``(*S)`` to ``(*S, 2)``."""
    return stack([x.real, x.imag], -1)


@converter(aten.complex.default, complex=True)
def complex_(real: Tensor, imag: Tensor) -> Complex:
    """``real + 1j * imag``."""
    parts = promote(real, imag)
    shape = broadcast(*(p.shape for p in parts))
    return Complex(*(expanded(p, shape) for p in parts))


@converter(aten.polar.default, complex=True)
def polar(abs: Tensor, angle: Tensor) -> Complex:
    """``abs * exp(1j * angle)``."""
    return Complex(abs * unary(Op.COS, angle), abs * unary(Op.SIN, angle))


@converter(aten.real.default, complex=True)
def real(x: Complex) -> Tensor:
    """The real part."""
    return x.real


@converter(aten.imag.default, complex=True)
def imag(x: Complex) -> Tensor:
    """The imaginary part."""
    return x.imag


@converter(
    aten._conj.default, aten.conj.default, aten.conj_physical.default,
    aten._conj_physical.default, complex=True,
)  # fmt: skip
def conj(x: Complex) -> Complex:
    """x with the other sign of its imaginary part."""
    return x.conjugate()


@converter(aten.mH.default, aten.adjoint.default, complex=True)
def adjoint(x: Complex) -> Complex:
    """The conjugate of the transpose."""
    return x.map(mT).conjugate()


@converter(aten.resolve_conj.default, aten.resolve_neg.default, complex=True)
def resolve_conj(x: Complex) -> Complex:
    """x itself: its parts are what they are."""
    return x


@converter(
    aten.real.default, aten.resolve_conj.default, aten.resolve_neg.default, aten.conj.default,
    aten.conj_physical.default,
)  # fmt: skip
def of_real(x: Tensor) -> Tensor:
    """A real x itself."""
    return x


@converter(aten.angle.default)
def angle_of_real(x: Tensor) -> Tensor:
    """0, or pi of what is negative."""
    wide = x if x.dtype.is_float else x.cast(DType.FLOAT32)
    positive = where(Unary(op=Op.ISNAN)(wide), wide, 0.0, wide.dtype)  # TensorRT makes x * 0 a 0
    return where(x < 0, torch.pi, positive, wide.dtype)


@converter(aten.abs.default, complex=True)
def magnitude(x: Complex) -> Tensor:
    """``|x|``; no square leaves the range of its dtype."""
    a, b = absolute(x.real), absolute(x.imag)
    larger = maximum(a, b)
    ratio = minimum(a, b) / larger
    ordinary = logical_and(larger > 0, ~Unary(op=Op.ISINF)(larger))
    return where(ordinary, larger * unary(Op.SQRT, ratio * ratio + 1), larger, x.dtype)


@converter(aten.angle.default, complex=True)
def angle(x: Complex) -> Tensor:
    """The angle in -pi..pi."""
    return atan2(x.imag, x.real)


@converter(aten.sgn.default, complex=True)
def sgn(x: Complex) -> Complex:
    """``x / |x|``, and 0 where x is 0."""
    size = magnitude(x)
    return x.map(lambda part: where(size.equal(0), 0, part / size, x.dtype))


@converter(aten.isnan.default, complex=True)
def isnan(x: Complex) -> Tensor:
    """Whether a part is NaN."""
    return logical_or(*(Unary(op=Op.ISNAN)(p) for p in (x.real, x.imag)))


@converter(aten.to.dtype, complex=True)
def to_dtype(
    x: Tensor | Complex,
    dtype: Any,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor | Complex:
    """x in ``dtype``; what becomes real loses its imaginary part."""
    return _cast(x, dtype)


@converter(aten.to.device, complex=True)
def to_device(
    x: Tensor | Complex,
    device: Any,
    dtype: Any,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor | Complex:
    """x in ``dtype``."""
    return _cast(x, dtype)


@converter(aten.to.dtype_layout, complex=True)
def to_dtype_layout(
    x: Tensor | Complex,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    copy: bool = False,
    memory_format: Any = None,
) -> Tensor | Complex:
    """x in ``dtype``, where one is given."""
    return _cast(x, dtype)


@converter(aten._to_copy.default, complex=True)
def to_copy(
    x: Tensor | Complex,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    non_blocking: bool = False,
    memory_format: Any = None,
) -> Tensor | Complex:
    """x in ``dtype``, where one is given."""
    return _cast(x, dtype)


@converter(aten.type_as.default, complex=True)
def type_as(x: Tensor | Complex, other: Tensor | Complex) -> Tensor | Complex:
    """x in the dtype of ``other``."""
    return _cast(x, other.torch_dtype if isinstance(other, Complex) else other.dtype)


def _cast(x: Tensor | Complex, dtype: Any) -> Tensor | Complex:
    if dtype is None:
        return x
    if isinstance(dtype, DType):
        return (x.real if isinstance(x, Complex) else x).cast(dtype)
    part = part_dtype(dtype)
    if isinstance(x, Complex):
        return x.map(lambda p: p.cast(part))
    return Complex(x.cast(part), filled(x.network, x.shape, 0, part))


@converter(aten.ones.default, complex=True)
def ones(
    net: Network,
    size: Sequence[Dim],
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
) -> Complex:
    """1 in ``size``."""
    return Complex(*(filled(net, size, number, part_dtype(dtype)) for number in (1, 0)))


@converter(aten.ones_like.default, complex=True)
def ones_like(
    x: Tensor | Complex,
    *,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    pin_memory: Any = None,
    memory_format: Any = None,
) -> Complex:
    """1 in x's shape."""
    part = x.dtype if dtype is None else part_dtype(dtype)
    return Complex(*(filled(x.network, x.shape, number, part) for number in (1, 0)))
