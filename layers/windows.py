"""Windows of axes: unfold, patches as columns, and columns summed up to an image again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import SampleMode, Slice, section
from trtdsl.network import Network, Tensor
from trtdsl.operators import add
from trtdsl.registry import converter
from trtdsl.types import Dim, DType, as_dim

from .creation import iota
from .padding import padded
from .shape import expanded

__all__ = ["reads"]

aten = torch.ops.aten


@converter(aten.unfold.default)
def unfold(net: Network, x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Windows of an axis: ``(*A, n, *B) -> (*A, windows, *B, size)``."""
    if x.rank == 0:
        return expanded(x, [size])
    axis = dimension % x.rank
    count = as_dim((x.shape[axis] - size) // step + 1)
    windows = Gather(axis=axis)(x, reads(net, count, step, size, 1))
    order = [a for a in range(windows.rank) if a != axis + 1]
    return windows.permute(*order, axis + 1)


@converter(aten.unfold_backward.default)
def unfold_backward(
    grad_in: Tensor, input_sizes: Sequence[Dim], dim: int, size: int, step: int
) -> Tensor:
    """An axis put together from its windows, where these are all of it: ``unfold`` undone.

    PyTorch makes it of a write into what ``unfold`` gave, and then leaves out what no window has.
    Errors: ConversionError for windows that overlap, or leave anything out.
    """
    axis = dim % len(input_sizes)
    whole = as_dim(input_sizes[axis])
    if step != size or as_dim(grad_in.shape[axis] * size) != whole:
        raise ConversionError(
            explain(
                f"writes into unfold(size={size}, step={step}) of an axis of {whole}, whose "
                "windows overlap or leave elements out: PyTorch loses those as it captures this",
                fix="write into slices of the tensor, x[..., a::step] = ...",
            )
        )
    order = [a for a in range(grad_in.rank - 1) if a != axis]
    last = grad_in.rank - 1
    return grad_in.permute(*order[:axis], axis, last, *order[axis:]).reshape(*input_sizes)


def reads(net: Network, count: Dim, step: int, taps: int, dilation: int) -> Tensor:
    """What each of ``count`` windows reads: int32 ``(count, taps)``."""
    offsets = torch.arange(taps)[None] * dilation
    if isinstance(count, int):
        return net.constant((torch.arange(count)[:, None] * step + offsets).int())
    starts: Tensor = iota(net, count) * step
    return add(Unsqueeze(axes=(1,))(starts), net.constant(offsets)).cast(DType.INT32)


@converter(aten.im2col.default)
def im2col(
    net: Network,
    x: Tensor,
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """Patches as columns: ``(*N, C, H, W) -> (*N, C * kh * kw, oh * ow)``."""
    height, width = padding
    x = padded(x, [width, width, height, height], SampleMode.FILL)
    *lead, channels, _, _ = x.shape
    n = len(lead)
    counts = []
    # The innermost axis first, so that the other one stays where it is.
    for i in (1, 0):
        reach = dilation[i] * (kernel_size[i] - 1) + 1
        count = as_dim((x.shape[n + 1 + i] - reach) // stride[i] + 1)
        index = reads(net, count, stride[i], kernel_size[i], dilation[i])
        x = Gather(axis=n + 1 + i)(x, index)
        counts.append(count)
    columns, rows = counts
    patches = x.permute(*range(n + 1), n + 2, n + 4, n + 1, n + 3)
    taps = kernel_size[0] * kernel_size[1]
    return patches.reshape(*lead, channels * taps, rows * columns)


@converter(aten.col2im.default)
def col2im(
    x: Tensor,
    output_size: Sequence[Dim],
    kernel_size: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    """Patches summed up where they overlap: ``(*N, C * kh * kw, oh * ow) -> (*N, C, H, W)``."""
    *lead, columns, _ = x.shape
    high, wide = kernel_size
    counts = [
        as_dim((size + 2 * p - d * (k - 1) - 1) // s + 1)
        for size, k, d, p, s in zip(
            output_size, kernel_size, dilation, padding, stride, strict=True
        )
    ]
    rows, places = counts
    n = len(lead)
    channels = columns // (high * wide)
    patches = x.reshape(*lead, channels, high, wide, rows, places)
    # One axis after the other: (*N, C, kh, oh, kw, ow), then (*N, C, W, kh, oh).
    patches = patches.permute(*range(n + 1), n + 1, n + 3, n + 2, n + 4)
    strips = _summed(patches, output_size[1], dilation[1], padding[1], stride[1])
    strips = strips.permute(*range(n + 1), n + 3, n + 1, n + 2)
    image = _summed(strips, output_size[0], dilation[0], padding[0], stride[0])
    return image.permute(*range(n + 1), n + 2, n + 1)


def _summed(x: Tensor, size: Dim, dilation: int, padding: int, stride: int) -> Tensor:
    """Windows along an axis, ``(*A, taps, count)``, summed up to ``(*A, size)``."""
    *lead, taps, count = x.shape
    if isinstance(count, int) and isinstance(size, int):
        return _gathered(x, size, dilation, padding, stride)
    axis = len(lead)
    total: Tensor | None = None
    for tap in range(taps):
        row = section(x, axis, tap, 1).reshape(*lead, count)
        row = _spaced(row, stride)
        shift = tap * dilation - padding
        part = Slice(
            start=(*[0] * axis, -shift),
            shape=(*lead, size),
            stride=(1,) * (axis + 1),
            mode=SampleMode.FILL,
        )(row, x.network.constant(0, x.dtype))
        total = part if total is None else add(total, part)
    assert total is not None
    return total


def _gathered(x: Tensor, size: int, dilation: int, padding: int, stride: int) -> Tensor:
    """``_summed`` of known sizes: each element reads what it is the sum of, and zeros beside it."""
    *lead, taps, count = x.shape
    parts: list[list[int]] = [[] for _ in range(size)]
    for tap, window in product(range(taps), range(count)):
        place = window * stride + tap * dilation - padding
        if 0 <= place < size:
            parts[place].append(tap * count + window)
    most = max(1, *map(len, parts)) if parts else 1
    index = [[*part, *[taps * count] * (most - len(part))] for part in parts]
    net, axis = x.network, len(lead)
    flat = padded(x.reshape(*lead, taps * count), [0, 1], SampleMode.FILL)  # a zero behind
    read = Gather(axis=axis)(flat, net.constant(index, DType.INT32))
    return Reduce(op=ReduceOperation.SUM, axes=(axis + 1,))(read)


def _spaced(x: Tensor, stride: int) -> Tensor:
    """The elements of the last axis with ``stride - 1`` zeros behind each."""
    if stride == 1:
        return x
    *lead, count = x.shape
    columns = padded(Unsqueeze(axes=(x.rank,))(x), [0, stride - 1], SampleMode.FILL)
    return columns.reshape(*lead, count * stride)
