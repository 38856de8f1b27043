"""Convolutions whose number of groups or of filters varies, as with one kernel for each image.

TensorRT's layers have these fixed. Here the patches of an image are columns, and multiplied.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.slice import SampleMode
from trtdsl.network import Tensor
from trtdsl.types import Dim, as_dim, is_static

from .padding import padded
from .windows import col2im, im2col

__all__ = ["convolved", "deconvolved", "varies"]


def varies(weight: Tensor, groups: Dim) -> bool:
    """Whether TensorRT's layers cannot have such a kernel."""
    return not isinstance(groups, int) or not is_static(weight.shape)


def convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: tuple[Sequence[int], Sequence[int]],
    dilation: Sequence[int],
    groups: Dim,
) -> Tensor:
    """``(N, C, *S), (K, C / groups, *F) -> (N, K, *S')``, of one or two axes."""
    taps = _taps(weight)
    filters, channels = weight.shape[:2]
    sides = [side for pair in zip(*(p[::-1] for p in padding), strict=True) for side in pair]
    x = padded(x, sides, SampleMode.FILL)
    pairs = zip(x.shape[2:], taps, stride, dilation, strict=True)
    size = [as_dim((n - d * (k - 1) - 1) // s + 1) for n, k, s, d in pairs]
    extra = 2 - len(taps)
    image = x.reshape(*x.shape[:2], *[1] * extra, *x.shape[2:])
    ones = (1,) * extra
    columns = im2col(x.network, image, (*ones, *taps), (*ones, *dilation), (0, 0), (*ones, *stride))
    count = channels * math.prod(taps)
    columns = columns.reshape(x.shape[0], groups, count, math.prod(size))
    kernel = weight.reshape(1, groups, as_dim(filters // groups), count)
    result = (kernel @ columns).reshape(x.shape[0], filters, *size)
    return result if bias is None else result + bias.reshape(1, filters, *[1] * len(taps))


def deconvolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    output_padding: Sequence[int],
    dilation: Sequence[int],
    groups: Dim,
) -> Tensor:
    """``(N, C, *S), (C, K / groups, *F) -> (N, K, *S')``, of one or two axes."""
    taps = _taps(weight)
    inputs, filters = weight.shape[:2]
    pairs = zip(x.shape[2:], taps, stride, padding, output_padding, dilation, strict=True)
    size = [as_dim((n - 1) * s - 2 * p + d * (k - 1) + o + 1) for n, k, s, p, o, d in pairs]
    channels, count = as_dim(inputs // groups), filters * math.prod(taps)
    kernel = weight.reshape(1, groups, channels, count).permute(0, 1, 3, 2)
    places = x.reshape(x.shape[0], groups, channels, math.prod(x.shape[2:]))
    ones = (1,) * (2 - len(taps))
    columns = (kernel @ places).reshape(-1, count, math.prod(x.shape[2:]))
    result = col2im(
        columns,
        (*ones, *size),
        (*ones, *taps),
        (*ones, *dilation),
        (*[0] * len(ones), *padding),
        (*ones, *stride),
    ).reshape(x.shape[0], as_dim(filters * groups), *size)
    return result if bias is None else result + bias.reshape(1, -1, *[1] * len(taps))


def _taps(weight: Tensor) -> tuple[int, ...]:
    taps = weight.shape[2:]
    if len(taps) > 2 or not is_static(taps):
        raise ConversionError(
            explain(
                f"a kernel of varying sizes, {weight}: its number of filters may vary, and that of "
                "groups, in convolutions over one or two axes",
                fix="leave the sizes of the kernel out of dynamic_shapes",
            )
        )
    return tuple(int(n) for n in taps)
