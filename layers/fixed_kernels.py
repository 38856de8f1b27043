"""Convolutions by TensorRT's layers, whose kernels are of known sizes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.network import Tensor

__all__ = ["Sides", "convolved", "deconvolved"]

Sides = tuple[tuple[int, ...], tuple[int, ...]]
"""Padding before and behind each spatial axis."""


def convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: Sides,
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """``(N, C, *S), (K, C / groups, *F) -> (N, K, *S')``."""
    layer = Convolution(
        stride=stride,
        dilation=dilation,
        pre_padding=padding[0],
        post_padding=padding[1],
        groups=groups,
    )
    return layer(x, weight) if bias is None else layer(x, weight, bias)


def deconvolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    """``(N, C, *S), (C, K / groups, *F) -> (N, K, *S')``."""
    behind = [p - added for p, added in zip(padding, output_padding, strict=True)]
    # TensorRT only takes off the output. Taps of 0 at the end of the kernel make it longer first.
    taps = [max(0, -(b // step)) for b, step in zip(behind, dilation, strict=True)]
    for axis, count in enumerate(taps):
        weight = _with_taps(weight, axis + 2, count)
    layer = Deconvolution(
        stride=tuple(stride),
        dilation=tuple(dilation),
        pre_padding=tuple(padding),
        post_padding=tuple(b + t * s for b, t, s in zip(behind, taps, dilation, strict=True)),
        groups=groups,
    )
    return layer(x, weight) if bias is None else layer(x, weight, bias)


def _with_taps(weight: Tensor, axis: int, count: int) -> Tensor:
    """The kernel with ``count`` taps of 0 behind its own along an axis."""
    if count == 0:
        return weight
    sizes = [count if a == axis else size for a, size in enumerate(weight.shape)]
    zeros = weight.network.constant(torch.zeros(sizes, dtype=weight.dtype.torch))
    return Concatenation(axis=axis)(weight, zeros)
