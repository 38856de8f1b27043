"""Rows of Convolution and Deconvolution, against sums over the taps in float64."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import LayerCase, bf16, f16, f32
from trtdsl.ir.convolution import Convolution, Deconvolution


def options(spatial: int, **given: Any) -> dict[str, Any]:
    """Attributes for so many axes: steps of 1 and no padding, but for those given."""
    ones, zeros = (1,) * spatial, (0,) * spatial
    defaults = {"stride": ones, "dilation": ones, "pre_padding": zeros, "post_padding": zeros}
    return {**defaults, **given}


def convolved(layer: Convolution) -> Callable[..., torch.Tensor]:
    """y[n, k, p] = sum over c and taps t of w[k, c, t] x[n, c, stride p + dilation t - padding]."""

    def reference(x: torch.Tensor, w: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        sizes = [
            (s + a + b - d * (f - 1) - 1) // step + 1
            for s, f, a, b, d, step in zip(
                x.shape[2:], w.shape[2:], layer.pre_padding, layer.post_padding, layer.dilation,
                layer.stride, strict=True,
            )
        ]  # fmt: skip
        y = torch.zeros(x.shape[0], w.shape[0], *sizes, dtype=torch.float64)
        maps, channels = w.shape[0] // layer.groups, w.shape[1]
        for place in itertools.product(*map(range, sizes)):
            for tap in itertools.product(*map(range, w.shape[2:])):
                at = tuple(
                    step * p + d * t - a
                    for p, t, step, d, a in zip(
                        place, tap, layer.stride, layer.dilation, layer.pre_padding, strict=True
                    )
                )
                if any(i < 0 or i >= s for i, s in zip(at, x.shape[2:], strict=True)):
                    continue
                for k in range(w.shape[0]):
                    first = k // maps * channels
                    read: Any = (slice(None), slice(first, first + channels), *at)
                    taken: Any = (k, slice(None), *tap)
                    written: Any = (slice(None), k, *place)
                    y[written] += x[read].double() @ w[taken].double()
        return with_bias(y, *bias).to(x.dtype)

    return reference


def deconvolved(layer: Deconvolution) -> Callable[..., torch.Tensor]:
    """Every x[n, c, p] adds w[c, k, t] times itself to y[n, k, stride p + dilation t - padding]."""

    def reference(x: torch.Tensor, w: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
        sizes = [
            (s - 1) * step + d * (f - 1) + 1 - a - b
            for s, f, a, b, d, step in zip(
                x.shape[2:], w.shape[2:], layer.pre_padding, layer.post_padding, layer.dilation,
                layer.stride, strict=True,
            )
        ]  # fmt: skip
        y = torch.zeros(x.shape[0], w.shape[1] * layer.groups, *sizes, dtype=torch.float64)
        maps, channels = w.shape[1], w.shape[0] // layer.groups
        for place in itertools.product(*map(range, x.shape[2:])):
            for tap in itertools.product(*map(range, w.shape[2:])):
                at = tuple(
                    step * p + d * t - a
                    for p, t, step, d, a in zip(
                        place, tap, layer.stride, layer.dilation, layer.pre_padding, strict=True
                    )
                )
                if any(i < 0 or i >= s for i, s in zip(at, sizes, strict=True)):
                    continue
                for c in range(w.shape[0]):
                    first = c // channels * maps
                    read: Any = (slice(None), c, *place)
                    taken: Any = (c, slice(None), *tap)
                    written: Any = (slice(None), slice(first, first + maps), *at)
                    y[written] += x[read].double()[:, None] * w[taken].double()
        return with_bias(y, *bias).to(x.dtype)

    return reference


def with_bias(y: torch.Tensor, *bias: torch.Tensor) -> torch.Tensor:
    return y + bias[0].double().reshape(-1, *[1] * (y.dim() - 2)) if bias else y


def convolution(x: torch.Tensor, *weights: torch.Tensor, **given: Any) -> LayerCase:
    """A row with the kernel and bias as constants."""
    extra = {k: given.pop(k) for k in ("constants", "symbolic", "tolerance", "gpu") if k in given}
    layer = Convolution(**options(x.dim() - 2, **given))
    extra.setdefault("constants", tuple(range(1, len(weights) + 1)))
    return LayerCase(layer, (x, *weights), convolved(layer), **extra)


def deconvolution(x: torch.Tensor, *weights: torch.Tensor, **given: Any) -> LayerCase:
    extra = {k: given.pop(k) for k in ("constants", "symbolic", "tolerance", "gpu") if k in given}
    layer = Deconvolution(**options(x.dim() - 2, **given))
    extra.setdefault("constants", tuple(range(1, len(weights) + 1)))
    return LayerCase(layer, (x, *weights), deconvolved(layer), **extra)


HALF = 2e-3
BRAIN = 1e-2
NO_BF16 = "TensorRT 8.6 has no bfloat16"

CASES = [
    convolution(f32(2, 3, 6, 5), f32(4, 3, 3, 2), f32(4)),
    convolution(f32(1, 3, 6, 5), f32(4, 3, 3, 3), pre_padding=(1, 1), post_padding=(1, 1)),
    convolution(f32(1, 2, 6, 5), f32(4, 2, 2, 4), pre_padding=(0, 1), post_padding=(1, 2)),
    convolution(f32(2, 4, 7, 7), f32(4, 4, 3, 3), stride=(2, 3), dilation=(2, 1)),
    convolution(f32(2, 4, 5, 5), f32(6, 2, 3, 3), f32(6), groups=2),
    convolution(
        f32(2, 4, 5, 5), f32(4, 1, 3, 3), groups=4, pre_padding=(1, 1), post_padding=(1, 1)
    ),
    convolution(
        f32(2, 3, 6, 5), f32(4, 3, 3, 3), f32(4), stride=(2, 1), pre_padding=(1, 0),
        post_padding=(1, 0), symbolic={(0, 0): "n", (0, 2): "h", (0, 3): "w"},
    ),
    convolution(f32(1, 2, 4, 5, 4), f32(3, 2, 2, 3, 2), f32(3)),
    convolution(
        f32(1, 2, 4, 5, 4), f32(2, 1, 2, 3, 2), groups=2, stride=(1, 2, 1), dilation=(2, 1, 1),
        pre_padding=(1, 0, 1), post_padding=(0, 1, 1),
    ),
    convolution(f32(2, 3, 9), f32(4, 3, 3), f32(4), stride=(2,), symbolic={(0, 2): "l"}),
    convolution(
        f32(2, 4, 9), f32(4, 2, 3), groups=2, dilation=(2,), pre_padding=(3,), post_padding=(1,)
    ),
    convolution(f32(2, 3, 5, 5), f32(4, 3, 3, 3), f32(4), constants=()),
    convolution(f32(2, 3, 5, 5), f32(4, 3, 3, 3), f32(4), constants=(1,)),
    convolution(f16(1, 3, 5, 5), f16(4, 3, 3, 3), f16(4), tolerance=HALF),
    deconvolution(f32(2, 3, 4, 5), f32(3, 4, 3, 2), f32(4)),
    deconvolution(
        f32(1, 3, 4, 4), f32(3, 2, 4, 4), stride=(2, 2), pre_padding=(1, 1), post_padding=(1, 1)
    ),
    deconvolution(
        f32(1, 3, 4, 4), f32(3, 2, 3, 3), f32(2), stride=(2, 3), pre_padding=(1, 1),
        post_padding=(0, 1), symbolic={(0, 2): "h"},
    ),
    deconvolution(f32(1, 4, 4, 3), f32(4, 3, 3, 2), f32(6), groups=2, dilation=(2, 1)),
    deconvolution(f32(1, 2, 3, 3, 2), f32(2, 3, 2, 2, 3), f32(3), stride=(2, 1, 2)),
    deconvolution(f32(2, 4, 5), f32(4, 1, 4), f32(2), groups=2, stride=(2,), pre_padding=(1,),
                  post_padding=(1,)),
    deconvolution(f32(1, 3, 4, 4), f32(3, 2, 3, 3), f32(2), constants=()),
    convolution(bf16(1, 3, 5, 5), bf16(4, 3, 3, 3), bf16(4), tolerance=BRAIN, gpu=NO_BF16),
    deconvolution(bf16(1, 3, 4, 4), bf16(3, 2, 3, 3), bf16(2), tolerance=BRAIN, gpu=NO_BF16),
    deconvolution(bf16(1, 3, 4), bf16(3, 2, 3), stride=(2,), tolerance=BRAIN, gpu=NO_BF16),
]  # fmt: skip
