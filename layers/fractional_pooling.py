"""Fractional max pooling: windows whose places random samples decide, which the model is given."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Tensor
from trtdsl.operators import add, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .indexing import select, sliced
from .joining import cat

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.fractional_max_pool2d.default)
def fractional_max_pool2d(
    x: Tensor, kernel_size: Sequence[int], output_size: Sequence[int], random_samples: Tensor
) -> tuple[Tensor, Tensor]:
    """``(*N, C, H, W)`` and samples ``(N, C, 2)`` of width and height to ``(*N, C, oh, ow)``."""
    return _pooled(x, kernel_size, output_size, random_samples, (1, 0))


@converter(aten.fractional_max_pool3d.default)
def fractional_max_pool3d(
    x: Tensor, kernel_size: Sequence[int], output_size: Sequence[int], random_samples: Tensor
) -> tuple[Tensor, Tensor]:
    """``(*N, C, T, H, W)`` and samples ``(N, C, 3)`` in this order to ``(*N, C, ot, oh, ow)``."""
    return _pooled(x, kernel_size, output_size, random_samples, (0, 1, 2))


def _pooled(
    x: Tensor,
    kernel: Sequence[int],
    output: Sequence[int],
    samples: Tensor,
    order: tuple[int, ...],
) -> tuple[Tensor, Tensor]:
    """The maxima, and where they lie in a map laid flat, of equal ones the first: int64.

    ``order`` says which of the samples is of each axis.
    """
    spatial = len(kernel)
    lead, sizes = x.shape[: x.rank - spatial], x.shape[x.rank - spatial :]
    maps = math.prod(lead)
    if x.rank == spatial + 1:  # one image takes the samples of the first of a batch
        samples = sliced(samples, 0, 0, 1)
    flat: Tensor | None = None
    for axis, size in enumerate(sizes):
        sample = select(samples.cast(DType.FLOAT32), 2, order[axis]).reshape(maps, 1)
        starts = _starts(sample, size, output[axis], kernel[axis])
        shape = [maps, *[1] * (2 * spatial)]
        shape[1 + axis], shape[1 + spatial + axis] = output[axis], kernel[axis]
        taps = x.network.constant(list(range(kernel[axis])), DType.INT32)
        places = add(starts.reshape(maps, output[axis], 1), taps).reshape(*shape)
        flat = places if flat is None else add(flat * size, places)
    assert flat is not None
    windows = (maps, math.prod(output), math.prod(kernel))
    index = flat.reshape(maps, windows[1] * windows[2])
    picked = Gather(axis=1, elementwise_dims=1)(x.reshape(maps, math.prod(sizes)), index)
    picked, index = picked.reshape(*windows), index.reshape(*windows)
    largest = Reduce(op=ReduceOperation.MAX, axes=(2,), keep_dimensions=True)(picked)
    places = where(picked.equal(largest), index, 2**31 - 1, DType.INT32)
    first = Reduce(op=ReduceOperation.MIN, axes=(2,))(places)
    pooled = (*lead, *output)
    return largest.reshape(*pooled), first.reshape(*pooled).cast(DType.INT64)


def _starts(sample: Tensor, size: int, count: int, kernel: int) -> Tensor:
    """Where the windows begin: int32 ``(maps, count)``; the last one ends with the axis."""
    net = sample.network
    last = add(sample.cast(DType.INT32) * 0, size - kernel)
    if count == 1:
        return last
    alpha = (size - kernel) / (count - 1)
    steps = net.constant([float(i) for i in range(count - 1)])
    first = (sample * alpha).cast(DType.INT32)
    return cat([(add(sample, steps) * alpha).cast(DType.INT32) - first, last], 1)
