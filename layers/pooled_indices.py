"""Maximum pooling that says where its maxima lie: in x laid flat, of equal ones the first."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.ir.shuffle import Squeeze, Unsqueeze
from trtdsl.network import Tensor
from trtdsl.operators import add, as_tensor, maximum, minimum, where
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .absent import Absent
from .creation import iota
from .pooling import INDICES, Windows
from .pooling import maximum as pooled_maximum
from .spatial import per_axis

__all__ = ["indices_of", "regular", "uneven"]

aten = torch.ops.aten

_NONE = 2**31 - 1


@converter(aten.max_pool1d_with_indices.default)
def max_pool1d_with_indices(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor | Absent]:
    """``max_pool1d``, and where the maxima lie in x laid flat: int64."""
    windows = Windows.of(1, kernel_size, stride, padding, ceil_mode)
    return _with_indices(x, windows, dilation)


@converter(aten.max_pool2d_with_indices.default)
def max_pool2d_with_indices(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor | Absent]:
    """``max_pool2d``, and where the maxima lie in x laid flat: int64."""
    windows = Windows.of(2, kernel_size, stride, padding, ceil_mode)
    return _with_indices(x, windows, dilation)


@converter(aten.max_pool3d_with_indices.default)
def max_pool3d_with_indices(
    x: Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    ceil_mode: bool = False,
) -> tuple[Tensor, Tensor | Absent]:
    """``max_pool3d``, and where the maxima lie in x laid flat: int64."""
    windows = Windows.of(3, kernel_size, stride, padding, ceil_mode)
    return _with_indices(x, windows, dilation)


def _with_indices(
    x: Tensor, windows: Windows, dilation: Sequence[int]
) -> tuple[Tensor, Tensor | Absent]:
    axes = len(windows.size)
    pooled = pooled_maximum(x, windows, dilation)
    if 0 in x.shape or 0 in pooled.shape:
        return pooled, INDICES
    counts = pooled.shape[pooled.rank - axes :]
    places = [
        regular(x, count, size=size, stride=stride, padding=padding, dilation=step)
        for count, size, stride, padding, step in zip(
            counts,
            windows.size,
            windows.stride,
            windows.padding,
            per_axis(dilation, axes),
            strict=True,
        )
    ]
    if x.rank == axes + 2:
        return pooled, indices_of(x, pooled, places)
    front = Unsqueeze(axes=(0,))
    return pooled, Squeeze(axes=(0,))(indices_of(front(x), front(pooled), places))


def indices_of(image: Tensor, pooled: Tensor, places: Sequence[Tensor]) -> Tensor:
    """int64 ``(N, C, *O)`` for ``image`` ``(N, C, *S)``, ``pooled`` ``(N, C, *O)``.

    ``places`` has for each spatial axis what its windows read, int32 ``(O, taps)``; what lies
    outside of the image counts for nothing. The operations go where nobody reads the indices.
    """
    axes, sizes = len(places), image.shape[2:]
    # Planes of all images side by side: of 8 axes, TensorRT 8.6 compares none.
    planes = image.shape[0] * image.shape[1]
    windows = image.reshape(planes, *sizes)
    inside: Tensor | None = None
    flat: Tensor | None = None
    for axis, (place, size) in enumerate(zip(places, sizes, strict=True)):
        shape: list[Dim] = [1] * (1 + 2 * axes)
        shape[1 + 2 * axis], shape[2 + 2 * axis] = place.shape
        place = place.reshape(*shape)
        within = ~(place < 0) & (place < size)
        inside = within if inside is None else inside & within
        flat = place if flat is None else add(flat * size, place)
    assert inside is not None
    assert flat is not None
    for axis in reversed(range(axes)):
        bound = as_tensor(sizes[axis], image.network, DType.INT32) - 1
        index = minimum(maximum(places[axis], 0), bound)
        windows = Gather(axis=1 + axis)(windows, index)
    spread = [n for size in pooled.shape[2:] for n in (size, 1)]
    hit = windows.equal(pooled.reshape(planes, *spread)) & inside
    taps = tuple(range(2, 2 + 2 * axes, 2))
    first = Reduce(op=ReduceOperation.MIN, axes=taps)(where(hit, flat, _NONE, DType.INT32))
    return first.reshape(*pooled.shape).cast(DType.INT64)


def regular(
    image: Tensor, count: Dim, *, size: int, stride: int, padding: int, dilation: int
) -> Tensor:
    """What windows of one size read along an axis: int32 ``(count, size)``."""
    taps = torch.arange(size)[None] * dilation - padding
    net = image.network
    if isinstance(count, int):
        return net.constant((torch.arange(count)[:, None] * stride + taps).int())
    starts: Tensor = iota(net, count) * stride
    return add(starts.reshape(count, 1), net.constant(taps)).cast(DType.INT32)


def uneven(image: Tensor, windows: Sequence[Sequence[int]]) -> Tensor:
    """What windows read along an axis, as lists; the shorter ones read their last again."""
    length = max(map(len, windows))
    rows = [[w[min(i, len(w) - 1)] for i in range(length)] for w in windows]
    return image.network.constant(rows, DType.INT32)
