"""Fourier transforms: fft, rfft, hfft, their inverses, in one, two and several axes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.network import Network, Tensor
from trtdsl.registry import converter, of_parts
from trtdsl.types import Dim, DType

from .dft import spectrum, synthesis
from .rearrangement import roll

__all__: list[str] = []

aten = torch.ops.aten
Value: TypeAlias = Tensor | Complex
Axes: TypeAlias = list[tuple[int, Any]]
"""Axes, and the length that each is cut or extended to; None leaves it."""
Transform: TypeAlias = Callable[[Value, Axes, str | None], Value]


def _scale(n: int, norm: str | None, *, inverse: bool) -> float:
    if norm == "ortho":
        return 1 / math.sqrt(n)
    return 1 / n if (norm == "forward") is not inverse else 1.0


def _length(x: Value, axis: int, n: Any) -> int:
    size = x.shape[axis] if n in (None, -1) else n
    if not isinstance(size, int):
        raise ConversionError(
            explain(
                f"a Fourier transform of length {size}, which is not static",
                fix="leave that size out of dynamic_shapes: each length has a matrix of its own",
            )
        )
    return size


def _whole(x: Value, axes: Axes, norm: str | None, *, inverse: bool) -> Value:
    """fft and ifft."""
    for axis, n in axes:
        size = _length(x, axis, n)
        scale = _scale(size, norm, inverse=inverse)
        x = spectrum(x, axis, size, size, scale=scale, inverse=inverse)
    return x


def _to_half(x: Value, axes: Axes, norm: str | None, *, inverse: bool) -> Value:
    """rfft and ihfft: the last axis first, of which the spectrum's first half is kept."""
    *others, (axis, n) = axes
    size = _length(x, axis, n)
    scale = _scale(size, norm, inverse=inverse)
    half = spectrum(x, axis, size, size // 2 + 1, scale=scale, inverse=inverse)
    return _whole(half, others, norm, inverse=inverse)


def _from_half(x: Value, axes: Axes, norm: str | None, *, inverse: bool) -> Value:
    """irfft and hfft: the last axis last, of which the spectrum's first half is given."""
    *others, (axis, n) = axes
    x = _whole(x, others, norm, inverse=inverse)
    size = 2 * (_length(x, axis, None) - 1) if n in (None, -1) else n
    if not inverse and isinstance(x, Complex):
        x = x.conjugate()
    return synthesis(x, axis, size, scale=_scale(size, norm, inverse=inverse))


def _in_float32(transform: Transform) -> Transform:
    """Parts of 16 bits are transformed in float32, integers become float32."""

    def run(x: Value, axes: Axes, norm: str | None) -> Value:
        half = x.dtype if x.dtype.is_float else DType.FLOAT32
        y = transform(_cast(x, DType.FLOAT32), axes, norm)
        return _cast(y, half)

    return run


def _cast(x: Value, dtype: DType) -> Value:
    return x.map(lambda part: part.cast(dtype)) if isinstance(x, Complex) else x.cast(dtype)


def _axes(x: Value, s: Sequence[Any] | None, dim: Sequence[int] | None) -> Axes:
    if dim is None:
        count = x.rank if s is None else len(s)
        dim = range(x.rank - count, x.rank)
    lengths = [None] * len(dim) if s is None else s
    return [(axis % x.rank, n) for axis, n in zip(dim, lengths, strict=True)]


def _along_one(transform: Transform) -> Callable[..., Value]:
    def convert(x: Value, n: Dim | None = None, dim: int = -1, norm: str | None = None) -> Value:
        return transform(x, [(dim % x.rank, n)], norm)

    return convert


def _along_two(transform: Transform) -> Callable[..., Value]:
    def convert(
        x: Value,
        s: Sequence[Dim] | None = None,
        dim: Sequence[int] = (-2, -1),
        norm: str | None = None,
    ) -> Value:
        return transform(x, _axes(x, s, dim), norm)

    return convert


def _along_several(transform: Transform) -> Callable[..., Value]:
    def convert(
        x: Value,
        s: Sequence[Dim] | None = None,
        dim: Sequence[int] | None = None,
        norm: str | None = None,
    ) -> Value:
        return transform(x, _axes(x, s, dim), norm)

    return convert


def _directed(function: Callable[..., Value], *, inverse: bool) -> Transform:
    def run(x: Value, axes: Axes, norm: str | None) -> Value:
        return function(x, axes, norm, inverse=inverse)

    return _in_float32(run)


_TRANSFORMS = {
    "fft": _directed(_whole, inverse=False),
    "ifft": _directed(_whole, inverse=True),
    "rfft": _directed(_to_half, inverse=False),
    "ihfft": _directed(_to_half, inverse=True),
    "irfft": _directed(_from_half, inverse=True),
    "hfft": _directed(_from_half, inverse=False),
}
_OF_REAL_TOO = ("irfft", "hfft")
"""Those that may take and give real tensors alone."""
_FORMS = {"": _along_one, "2": _along_two, "n": _along_several}

for _name, _transform in _TRANSFORMS.items():
    for _ending, _form in _FORMS.items():
        _operator = getattr(aten, f"fft_{_name}{_ending}").default
        converter(_operator, complex=True)(_form(_transform))
        if _name in _OF_REAL_TOO:
            converter(_operator)(_form(_transform))


_NORMS = (None, "ortho", "forward")
"""What the numbers of PyTorch's ``fft_norm_mode`` ask for, of a transform that turns forward."""


def _norm(normalization: int, *, inverse: bool) -> str | None:
    if inverse:  # by n is what an inverse has of its own accord
        return ("forward", "ortho", None)[normalization]
    return _NORMS[normalization]


@converter(aten._fft_c2c.default, complex=True)
def _fft_c2c(x: Value, dim: Sequence[int], normalization: int, forward: bool) -> Value:
    """fft or ifft along several axes."""
    norm = _norm(normalization, inverse=not forward)
    return _TRANSFORMS["fft" if forward else "ifft"](x, _axes(x, None, dim), norm)


@converter(aten._fft_r2c.default, complex=True)
def _fft_r2c(x: Tensor, dim: Sequence[int], normalization: int, onesided: bool) -> Value:
    """rfft, or fft of a real tensor, along several axes."""
    name = "rfft" if onesided else "fft"
    return _TRANSFORMS[name](x, _axes(x, None, dim), _norm(normalization, inverse=False))


@converter(aten._fft_c2r.default, complex=True)
def _fft_c2r(x: Complex, dim: Sequence[int], normalization: int, last_dim_size: Any) -> Value:
    """irfft along several axes."""
    axes = _axes(x, None, dim)
    axes[-1] = (axes[-1][0], last_dim_size)
    return _TRANSFORMS["irfft"](x, axes, _norm(normalization, inverse=True))


def _shifted(x: Tensor, dim: Sequence[int] | None, sign: int) -> Tensor:
    axes = list(range(x.rank)) if dim is None else [axis % x.rank for axis in dim]
    return roll(x, [sign * (x.shape[axis] // 2) for axis in axes], axes)


@converter(aten.fft_fftshift.default)
def fft_fftshift(x: Tensor, dim: Sequence[int] | None = None) -> Tensor:
    """x with the frequency 0 moved to the middle."""
    return _shifted(x, dim, 1)


@converter(aten.fft_ifftshift.default)
def fft_ifftshift(x: Tensor, dim: Sequence[int] | None = None) -> Tensor:
    """x with the frequency 0 moved back to the front."""
    return _shifted(x, dim, -1)


of_parts(aten.fft_fftshift.default, aten.fft_ifftshift.default)


def _frequencies(function: Callable[..., torch.Tensor]) -> Callable[..., Tensor]:
    def convert(
        net: Network,
        n: int,
        d: float = 1.0,
        *,
        dtype: DType | None = None,
        layout: Any = None,
        device: Any = None,
        pin_memory: Any = None,
    ) -> Tensor:
        return net.constant(function(n, d, dtype=(dtype or DType.FLOAT32).torch))

    return convert


converter(aten.fft_fftfreq.default)(_frequencies(torch.fft.fftfreq))
converter(aten.fft_rfftfreq.default)(_frequencies(torch.fft.rfftfreq))
