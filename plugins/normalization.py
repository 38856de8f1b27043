"""Layer normalization as one kernel, which also adds up what it normalizes.

``trtdsl.layers.normalization`` makes a layer of TensorRT's of it, whose kernels in 8.6 take about
twice the time that the memory needs.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.layers.absent import Absent
from trtdsl.layers.creation import filled
from trtdsl.layers.normalization import STATISTICS
from trtdsl.layers.normalization import layer_norm as of_layers
from trtdsl.network import Tensor
from trtdsl.types import Dim

from .layer_norm import ALIGNMENT, WIDEST, LayerNorm

__all__ = ["CONVERTERS", "layer_norm", "native_layer_norm"]


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-05,
    cudnn_enable: bool = True,
) -> Tensor:
    """``aten::layer_norm``, by the kernel where it takes the rows."""
    width = normalized_shape[0]
    given = [x for x in (weight, bias) if x is not None]
    narrow = len(normalized_shape) == 1 and isinstance(width, int) and 0 < width <= WIDEST
    fits = narrow and width % ALIGNMENT == 0 and all(x.is_constant for x in given)
    if not fits or {x.dtype for x in given} - {input.dtype}:
        kept: Tensor = of_layers(input, normalized_shape, weight, bias, eps, cudnn_enable)
        return kept
    row = (*(1 for _ in input.shape[1:]), int(width))
    scale, offset = (
        filled(input.network, row, value, input.dtype) if x is None else x.reshape(*row)
        for x, value in ((weight, 1.0), (bias, 0.0))
    )
    y: Tensor = LayerNorm(width=int(width), epsilon=eps)(input, scale, offset)
    return y


def native_layer_norm(
    input: Tensor,
    normalized_shape: Sequence[Dim],
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> tuple[Tensor, Absent, Absent]:
    """``aten::native_layer_norm``: ``layer_norm`` with its statistics as further results."""
    return layer_norm(input, normalized_shape, weight, bias, eps), *STATISTICS


aten = torch.ops.aten

CONVERTERS = {
    aten.layer_norm.default: layer_norm,
    aten.native_layer_norm.default: native_layer_norm,
}
