"""Convolutions and transposed convolutions over one, two and three axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError
from trtdsl.network import Tensor
from trtdsl.registry import converter

from . import fixed_kernels, varying_kernels
from .spatial import batched, per_axis

aten = torch.ops.aten


@converter(aten.conv1d.default)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """``([N,] C, L), (K, C / groups, F) -> ([N,] K, L')``."""
    sides = per_axis(padding, 1)
    return _convolve(input, weight, bias, stride, (sides, sides), dilation, groups)


@converter(aten.conv2d.default)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``([N,] C, H, W), (K, C / groups, *F) -> ([N,] K, H', W')``."""
    sides = per_axis(padding, 2)
    return _convolve(input, weight, bias, stride, (sides, sides), dilation, groups)


@converter(aten.conv3d.default)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """``([N,] C, D, H, W), (K, C / groups, *F) -> ([N,] K, D', H', W')``."""
    sides = per_axis(padding, 3)
    return _convolve(input, weight, bias, stride, (sides, sides), dilation, groups)


@converter(aten.conv1d.padding)
def conv1d_padding(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: str = "valid",
    dilation: Sequence[int] = (1,),
    groups: int = 1,
) -> Tensor:
    """``conv1d`` with ``padding`` ``"same"`` or ``"valid"``."""
    sides = _named_padding(padding, weight, dilation)
    return _convolve(input, weight, bias, stride, sides, dilation, groups)


@converter(aten.conv2d.padding)
def conv2d_padding(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: str = "valid",
    dilation: Sequence[int] = (1, 1),
    groups: int = 1,
) -> Tensor:
    """``conv2d`` with ``padding`` ``"same"`` or ``"valid"``."""
    sides = _named_padding(padding, weight, dilation)
    return _convolve(input, weight, bias, stride, sides, dilation, groups)


@converter(aten.conv3d.padding)
def conv3d_padding(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: str = "valid",
    dilation: Sequence[int] = (1, 1, 1),
    groups: int = 1,
) -> Tensor:
    """``conv3d`` with ``padding`` ``"same"`` or ``"valid"``."""
    sides = _named_padding(padding, weight, dilation)
    return _convolve(input, weight, bias, stride, sides, dilation, groups)


@converter(aten.conv_transpose1d.default)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1,),
    padding: Sequence[int] = (0,),
    output_padding: Sequence[int] = (0,),
    groups: int = 1,
    dilation: Sequence[int] = (1,),
) -> Tensor:
    """``([N,] C, L), (C, K / groups, F) -> ([N,] K, L')``."""
    return _deconvolve(input, weight, bias, stride, padding, output_padding, dilation, groups)


@converter(aten.conv_transpose2d.input)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    output_padding: Sequence[int] = (0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1),
) -> Tensor:
    """``([N,] C, H, W), (C, K / groups, *F) -> ([N,] K, H', W')``."""
    return _deconvolve(input, weight, bias, stride, padding, output_padding, dilation, groups)


@converter(aten.conv_transpose3d.input)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sequence[int] = (1, 1, 1),
    padding: Sequence[int] = (0, 0, 0),
    output_padding: Sequence[int] = (0, 0, 0),
    groups: int = 1,
    dilation: Sequence[int] = (1, 1, 1),
) -> Tensor:
    """``([N,] C, D, H, W), (C, K / groups, *F) -> ([N,] K, D', H', W')``."""
    return _deconvolve(input, weight, bias, stride, padding, output_padding, dilation, groups)


@converter(aten.conv_tbc.default)
def conv_tbc(self: Tensor, weight: Tensor, bias: Tensor, pad: int = 0) -> Tensor:
    """``conv1d`` of time first: ``(L, N, C), (F, C, K), (K,) -> (L', N, K)``."""
    sides = ((pad,), (pad,))
    x, kernel = self.permute(1, 2, 0), weight.permute(2, 1, 0)
    return _convolve(x, kernel, bias, (1,), sides, (1,), 1).permute(2, 0, 1)


@converter(aten.convolution.default)
def convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> Tensor:
    """Any of the above, by the rank of the weight and ``transposed``."""
    if transposed:
        return _deconvolve(input, weight, bias, stride, padding, output_padding, dilation, groups)
    sides = per_axis(padding, weight.rank - 2)
    return _convolve(input, weight, bias, stride, (sides, sides), dilation, groups)


@converter(aten._convolution.default)
def _convolution(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    benchmark: bool,
    deterministic: bool,
    cudnn_enabled: bool,
    allow_tf32: bool,
) -> Tensor:
    """``convolution`` with cuDNN's switches, which say nothing about the result."""
    return convolution(
        input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )


def _named_padding(padding: str, weight: Tensor, dilation: Sequence[int]) -> fixed_kernels.Sides:
    spatial = weight.rank - 2
    if padding == "valid":
        return (0,) * spatial, (0,) * spatial
    if padding != "same":
        raise ConversionError(f"padding is 'same' or 'valid', not {padding!r}")
    windows = zip(per_axis(dilation, spatial), weight.shape[2:], strict=True)
    total = [step * (taps - 1) for step, taps in windows]
    return tuple(t // 2 for t in total), tuple(t - t // 2 for t in total)


def _convolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: fixed_kernels.Sides,
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    kernels = varying_kernels if varying_kernels.varies(weight, groups) else fixed_kernels
    spatial = weight.rank - 2
    strides, steps = per_axis(stride, spatial), per_axis(dilation, spatial)
    return batched(
        x, spatial, lambda i: kernels.convolved(i, weight, bias, strides, padding, steps, groups)
    )


def _deconvolve(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Tensor:
    kernels = varying_kernels if varying_kernels.varies(weight, groups) else fixed_kernels
    spatial = weight.rank - 2
    axes = [per_axis(values, spatial) for values in (stride, padding, output_padding, dilation)]
    return batched(x, spatial, lambda i: kernels.deconvolved(i, weight, bias, *axes, groups))
