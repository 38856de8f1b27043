"""Converters of padding: all are TensorRT's slice, which may read beyond a tensor's bounds."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.slice import SampleMode, Slice
from trtdsl.network import Scalar, Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim

__all__ = ["padded"]

aten = torch.ops.aten

_MODES = {
    "constant": SampleMode.FILL,
    "reflect": SampleMode.REFLECT,
    "replicate": SampleMode.CLAMP,
    "circular": SampleMode.WRAP,
}


def padded(x: Tensor, pad: Sequence[Dim], mode: SampleMode, value: Scalar = 0) -> Tensor:
    """x with ``pad`` elements more at each end: begin and end of the last axis, then of others.

    A negative entry takes elements away.
    """
    count = len(pad) // 2
    ends = [(0, 0)] * (x.rank - count) + list(zip(pad[::2], pad[1::2], strict=True))[::-1]
    if mode is SampleMode.WRAP:
        # PyTorch repeats what is left of x, while it mirrors and clamps in all of x.
        less = [(_negative(a), _negative(b)) for a, b in ends]
        x = _window(x, less, SampleMode.STRICT_BOUNDS)
        ends = [(a - c, b - d) for (a, b), (c, d) in zip(ends, less, strict=True)]
    return _window(x, ends, mode, value)


def _negative(pad: Dim) -> Dim:
    return min(pad, 0) if isinstance(pad, int) else 0


def _window(
    x: Tensor, ends: Sequence[tuple[Dim, Dim]], mode: SampleMode, value: Scalar = 0
) -> Tensor:
    if all(a == 0 and b == 0 for a, b in ends):
        return x
    window = Slice(
        start=tuple(-a for a, _ in ends),
        shape=tuple(size + a + b for size, (a, b) in zip(x.shape, ends, strict=True)),
        stride=(1,) * x.rank,
        mode=mode,
    )
    if mode is SampleMode.FILL:
        return window(x, x.network.constant(value, x.dtype))
    return window(x)


@converter(aten.pad.default)
def pad(
    x: Tensor, pad: Sequence[Dim], mode: str = "constant", value: float | None = None
) -> Tensor:
    """x with ``pad`` elements more at both ends of its last axes, the last axis first."""
    if mode not in _MODES:
        raise ConversionError(
            explain(f"pad has no mode {mode!r}", fix=f"one of {', '.join(map(repr, _MODES))}")
        )
    return padded(x, pad, _MODES[mode], value or 0)


@converter(aten.constant_pad_nd.default)
def constant_pad_nd(x: Tensor, pad: Sequence[Dim], value: Scalar = 0) -> Tensor:
    """x with ``value`` around it."""
    return padded(x, pad, SampleMode.FILL, value)


@converter(
    aten.reflection_pad1d.default, aten.reflection_pad2d.default, aten.reflection_pad3d.default
)
def reflection_pad(x: Tensor, padding: Sequence[Dim]) -> Tensor:
    """x mirrored about its border elements, which are not repeated."""
    return padded(x, padding, SampleMode.REFLECT)


@converter(
    aten.replication_pad1d.default, aten.replication_pad2d.default, aten.replication_pad3d.default
)
def replication_pad(x: Tensor, padding: Sequence[Dim]) -> Tensor:
    """x with its border elements repeated."""
    return padded(x, padding, SampleMode.CLAMP)
