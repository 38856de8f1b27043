"""Interpolation of bytes, which PyTorch computes in whole numbers on a CPU: to the last bit.

Its weights are rounded to as many bits as leave the largest of them within 16, and what comes out
of one axis is a byte again before the next. Source: ATen/native/cpu/UpSampleKernel.cpp,
``compute_index_ranges_int16_weights``. On a GPU, PyTorch differs from that by one here and there.
"""

from __future__ import annotations

import torch

from trtdsl.ir.gather import Gather
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Tensor
from trtdsl.operators import maximum, minimum
from trtdsl.types import DType

__all__ = ["interpolated"]


def interpolated(x: Tensor, axis: int, weights: torch.Tensor) -> Tensor:
    """One axis of int32 from 0 to 255 by float64 weights ``(old, new)``."""
    bits = _bits(weights.max().item())
    places, taps = _taps((weights * 2**bits).abs().add(0.5).floor().copysign(weights).mT)
    net = x.network
    window = Gather(axis=axis)(x, net.constant(places, DType.INT32))
    shape = (*taps.shape, *(1,) * (x.rank - 1 - axis))
    terms = window * net.constant(taps.reshape(shape), DType.INT32)
    total = Reduce(op=ReduceOperation.SUM, axes=(axis + 1,))(terms)
    return minimum(maximum((total + 2 ** (bits - 1)) // 2**bits, 0), 255)


def _bits(largest: float) -> int:
    """The most bits behind the point with which the largest weight is below ``2 ** 15``."""
    return next(n for n in range(22) if int(0.5 + largest * 2 ** (n + 1)) >= 2**15)


def _taps(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Which elements each row of ``(new, old)`` takes, and how much of them: ``(new, taps)``."""
    old = matrix.shape[1]
    counts = matrix.ne(0)
    first = counts.int().argmax(1)
    last = old - 1 - counts.flip(1).int().argmax(1)
    length = int((last - first).max()) + 1
    places = first.clamp(max=old - length)[:, None] + torch.arange(length)
    return places.int(), matrix.gather(1, places).int()
