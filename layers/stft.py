"""The short-time Fourier transform and its inverse, as convolutions with windowed waves."""

from __future__ import annotations

import math
from typing import Any

import torch

import trtdsl.export.whole  # noqa: F401  (it defines torch.ops.trtdsl)
from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.slice import section
from trtdsl.network import Network, Tensor
from trtdsl.reference import fold
from trtdsl.registry import converter
from trtdsl.types import Dim, DType

from .complex import view_as_real
from .complex_arithmetic import multiply
from .convolution import conv1d, conv_transpose1d
from .creation import filled
from .dft import basis
from .padding import constant_pad_nd
from .padding import pad as pad_

__all__: list[str] = []

aten = torch.ops.aten
own = torch.ops.trtdsl
Value = Tensor | Complex
_LEAST = 1e-11
"""What windows must add up to everywhere for ``istft``, as PyTorch has it."""


@converter(aten.stft.default)
@converter(aten.stft.default, complex=True)
def stft(
    x: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Value | None = None,
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Value:
    """``([B,] L)`` to complex ``([B,] F, T)``, or pairs of reals ``([B,] F, T, 2)``."""
    if align_to_window:
        raise ConversionError(
            explain(
                "stft with align_to_window=True",
                fix="pad the window to n_fft yourself, and leave align_to_window out",
            )
        )
    given = (x, window)
    is_complex = any(isinstance(v, Complex) for v in given)
    onesided = not is_complex if onesided is None else onesided
    count = n_fft // 2 + 1 if onesided else n_fft
    scale = 1 / math.sqrt(n_fft) if normalized else 1.0
    waves = _waves(x.network, n_fft, count, scale, inverse=False)
    kernel = multiply(waves, _window(x.network, window, n_fft, win_length))
    batched = _map(x, lambda part: part.reshape(-1, 1, part.shape[-1]).cast(DType.FLOAT32))
    y = _convolved(batched, kernel, hop_length or n_fft // 4)
    y = y.map(lambda part: part.reshape(*x.shape[:-1], *part.shape[1:]))
    return y if return_complex or (return_complex is None and is_complex) else view_as_real(y)


@converter(aten.stft.center, own.stft.default)
@converter(aten.stft.center, own.stft.default, complex=True)
def stft_center(
    x: Value,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Value | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Value:
    """``stft`` of x, with n_fft // 2 elements more at either end if centered."""
    if center:
        sides = [n_fft // 2, n_fft // 2]
        shape = x.shape
        x = _map(x, lambda part: pad_(part.reshape(1, -1, shape[-1]), sides, pad_mode))
        x = _map(x, lambda part: part.reshape(*shape[:-1], part.shape[-1]))
    rest = (normalized, onesided, return_complex, align_to_window)
    return stft(x, n_fft, hop_length, win_length, window, *rest)


def _convolved(x: Value, kernel: Complex, hop: int) -> Complex:
    """Complex ``(B, F, T)`` of ``(B, 1, L)`` and complex kernels ``(F, 1, n_fft)``."""
    along, across = Concatenation(axis=0), Concatenation(axis=1)
    count = kernel.shape[0]
    if isinstance(x, Complex):
        real = across(kernel.real, -kernel.imag)
        weight = along(real, across(kernel.imag, kernel.real))
        y = conv1d(across(x.real, x.imag), weight, None, [hop])
    else:
        y = conv1d(x, along(kernel.real, kernel.imag), None, [hop])
    return Complex(section(y, 1, 0, count), section(y, 1, count, count))


@converter(aten.istft.default, own.istft.default, complex=True)
def istft(
    x: Complex,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Value | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: Dim | None = None,
    return_complex: bool = False,
) -> Value:
    """Complex ``([B,] F, T)`` to ``([B,] L)``: frames added up, over what windows add up to."""
    if isinstance(window, Complex):
        raise ConversionError(
            explain("istft with a complex window", fix="use a real window such as hann_window")
        )
    net, lead, hop = x.network, x.shape[:-2], hop_length or n_fft // 4
    frames = x.map(lambda part: part.reshape(-1, *part.shape[-2:]).cast(DType.FLOAT32))
    if not return_complex:
        frames = frames.map(lambda part: section(part, 1, 0, n_fft // 2 + 1))
    shape = _window(net, window, n_fft, win_length).reshape(1, 1, n_fft)
    kernel = _synthesis(net, n_fft, frames.shape[1], normalized) * shape
    summed = conv_transpose1d(
        Concatenation(axis=1)(frames.real, frames.imag),
        kernel if return_complex else section(kernel, 1, 0, 1),
        None,
        [hop],
    )
    ones = filled(net, (1, 1, frames.shape[2]), 1, DType.FLOAT32)
    envelope = conv_transpose1d(ones, shape * shape, None, [hop])
    start = n_fft // 2 if center else 0
    stop = summed.shape[-1] - start if length is None else start + length
    y = _trimmed(summed, start, stop) / _checked(_trimmed(envelope, start, stop))
    y = y if length is None else _lengthened(y, length)
    parts = [section(y, 1, i, 1).reshape(*lead, y.shape[-1]) for i in range(1 + return_complex)]
    return Complex(*parts) if return_complex else parts[0]


def _trimmed(x: Tensor, start: int, stop: Dim) -> Tensor:
    size = x.shape[-1]
    if isinstance(size, int) and isinstance(stop, int):
        stop = min(stop, size)
    return section(x, 2, start, stop - start)


def _lengthened(x: Tensor, length: Dim) -> Tensor:
    missing = length - x.shape[-1]
    return x if missing == 0 else constant_pad_nd(x, [0, missing])


def _checked(envelope: Tensor) -> Tensor:
    """Refuse windows that leave a gap, as PyTorch does."""
    if envelope.is_constant and fold(envelope).abs().min() <= _LEAST:
        raise ConversionError(
            explain(
                "istft with windows that add up to 0 somewhere",
                fix="use center=True, a shorter hop_length or another window",
            )
        )
    return envelope


def _waves(net: Network, n: int, count: int, scale: float, *, inverse: bool) -> Complex:
    """``exp(-2j * pi * k * t / n)``, ``(count, 1, n)``; of positive sign if inverse."""
    parts = basis(count, n, n, inverse=inverse)
    return Complex(*(net.constant((p * scale).float()[:, None].contiguous()) for p in parts))


def _synthesis(net: Network, n: int, count: int, normalized: bool) -> Tensor:
    """What each part of a frame's spectrum gives to either part of a frame, ``(2 count, 2, n)``.

    Of half a spectrum, what has a mirror image counts twice.
    """
    cos, sin = basis(count, n, n, inverse=True)
    weight = torch.full((count, 1), 1.0 if count == n else 2.0, dtype=torch.float64)
    if count < n or n == 1:
        weight[0] = 1
        weight[-1] = 1 if n % 2 == 0 or count == 1 else weight[-1]
    scale = weight / (math.sqrt(n) if normalized else n)
    real = torch.cat([cos * scale, -sin * scale])
    imag = torch.cat([sin * scale, cos * scale])
    return net.constant(torch.stack([real, imag], 1).float())


def _window(net: Network, window: Value | None, n_fft: int, win_length: int | None) -> Any:
    """The window with zeros on either side, of length ``n_fft``."""
    length = win_length or n_fft
    if window is None:
        window = net.constant(torch.ones(length))
    before = (n_fft - length) // 2
    sides = [before, n_fft - length - before]
    window = _map(window, lambda part: part.cast(DType.FLOAT32))
    return window if sides == [0, 0] else _map(window, lambda p: constant_pad_nd(p, sides))


def _map(x: Any, function: Any) -> Any:
    return x.map(function) if isinstance(x, Complex) else function(x)
