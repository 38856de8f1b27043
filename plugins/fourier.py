"""``torch.fft`` along one axis by the plugins of ``fft``: fft, ifft, rfft, irfft.

``trtdsl.layers.fourier`` does the same by products with matrices, of static lengths only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.ir.slice import SampleMode
from trtdsl.layers.indexing import select
from trtdsl.layers.padding import padded
from trtdsl.network import Tensor
from trtdsl.types import Dim, DType

from .fft import FFT, IRFFT, RFFT

__all__ = ["CONVERTERS", "OF_COMPLEX", "fft", "ifft", "irfft", "rfft"]


def fft(x: Tensor | Complex, n: Dim | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """``aten::fft_fft`` of complex or real x, whose length may be symbolic."""
    return _whole(x, n, dim, norm, inverse=False)


def ifft(x: Tensor | Complex, n: Dim | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """``aten::fft_ifft`` of complex or real x, whose length may be symbolic."""
    return _whole(x, n, dim, norm, inverse=True)


def rfft(x: Tensor, n: Dim | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """``aten::fft_rfft``: the first half, ``n // 2 + 1`` complex numbers."""
    line = _line(x, dim, n)
    return _complex(_scaled(RFFT(), line, line.shape[-1], norm), dim, x.dtype)


def irfft(x: Tensor | Complex, n: Dim | None = None, dim: int = -1, norm: str | None = None) -> Any:
    """``aten::fft_irfft``: n real numbers, for n that is known."""
    size = 2 * (x.shape[dim] - 1) if n in (None, -1) else n
    if not isinstance(size, int):
        raise ConversionError(
            explain(
                f"an inverse Fourier transform to {size} real numbers, which is not static",
                fix="leave that size out of dynamic_shapes, or use torch.fft.ifft(...).real",
            )
        )
    pairs = _pairs(x, dim, size // 2 + 1)
    y = _scaled(IRFFT(n=size), pairs, size, norm, inverse=True)
    return _back(y, dim).cast(_dtype(x.dtype))


def _whole(x: Tensor | Complex, n: Dim | None, dim: int, norm: str | None, *, inverse: bool) -> Any:
    pairs = _pairs(x, dim, n)
    y = _scaled(FFT(inverse=inverse), pairs, pairs.shape[-2], norm, inverse=inverse)
    return _complex(y, dim, x.dtype)


def _scaled(
    plugin: Callable[[Tensor], Tensor],
    x: Tensor,
    n: Dim,
    norm: str | None,
    *,
    inverse: bool = False,
) -> Tensor:
    """The plugin's sums by n, by its root, or as they are."""
    y = plugin(x)
    if norm == "ortho" and not isinstance(n, int):
        raise ConversionError(
            explain(f"a Fourier transform of length {n} and norm='ortho'", fix="use norm=None")
        )
    if norm == "ortho":
        return y / math.sqrt(n)
    return y / n if (norm == "forward") is not inverse else y


def _line(x: Tensor, dim: int, n: Dim | None) -> Tensor:
    """The axis last, in float32, cut to n elements or with zeros behind."""
    axis = dim % x.rank
    line = x.cast(DType.FLOAT32).permute(*(a for a in range(x.rank) if a != axis), axis)
    missing = 0 if n in (None, -1) else n - x.shape[axis]
    return line if missing == 0 else padded(line, [0, missing], SampleMode.FILL)


def _pairs(x: Tensor | Complex, dim: int, n: Dim | None) -> Tensor:
    whole = x if isinstance(x, Complex) else Complex(x, x * 0)
    parts = [_line(part, dim, n) for part in (whole.real, whole.imag)]
    last = Unsqueeze(axes=(x.rank,))
    return Concatenation(axis=x.rank)(*map(last, parts))


def _complex(pairs: Tensor, dim: int, dtype: DType) -> Complex:
    parts = (select(pairs, pairs.rank - 1, i) for i in (0, 1))
    return Complex(*(_back(part, dim).cast(_dtype(dtype)) for part in parts))


def _dtype(given: DType) -> DType:
    return given if given.is_float else DType.FLOAT32


def _back(x: Tensor, dim: int) -> Tensor:
    axis = dim % x.rank
    return x.permute(*range(axis), x.rank - 1, *range(axis, x.rank - 1))


_aten = torch.ops.aten

CONVERTERS = {_aten.fft_irfft.default: irfft}
OF_COMPLEX = {
    _aten.fft_fft.default: fft,
    _aten.fft_ifft.default: ifft,
    _aten.fft_rfft.default: rfft,
    _aten.fft_irfft.default: irfft,
}
