"""The discrete Fourier transform along one axis, as products with constant matrices.

A length up to 1024 is one product, in which the real and the imaginary part lie side by side. A
longer one is cut into the product of two lengths (Cooley and Tukey, 1965), each a transform again.
The matrices are computed in float64 and held in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch

from trtdsl.complex import Complex
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.concatenation import Concatenation
from trtdsl.ir.constant import Constant, Weights
from trtdsl.ir.slice import SampleMode, Slice, section
from trtdsl.network import Network, Tensor

from .complex_arithmetic import multiply
from .creation import filled
from .rearrangement import flip

__all__ = ["basis", "spectrum", "synthesis"]

DIRECT = 1024
"""The longest transform that is one product: its matrix takes 16 MiB."""


def spectrum(
    x: Tensor | Complex, axis: int, n: int, count: int, *, scale: float, inverse: bool
) -> Complex:
    """``X[k] = scale * sum(x[j] * exp(-2j * pi * j * k / n))`` for k below ``count``.

    x is cut to n elements or has zeros behind. ``inverse`` turns the other way.
    """
    x = _map(x, lambda part: _last(_resized(part, axis, n), axis))
    rows = x.shape[-1]
    if n <= DIRECT:
        y = _product(x, _matrix(n, rows, count, scale, inverse, isinstance(x, Complex)))
        halves = Complex(section(y, y.rank - 1, 0, count), section(y, y.rank - 1, count, count))
    else:
        halves = _factored(_map(x, lambda part: _extended(part, n)), n, scale, inverse)
        halves = halves.map(lambda part: section(part, part.rank - 1, 0, count))
    return halves.map(lambda part: _moved_back(part, axis))


def synthesis(x: Tensor | Complex, axis: int, n: int, *, scale: float) -> Tensor:
    """The n real values whose spectrum has x as its first half: the inverse of ``spectrum``."""
    x = _map(x, lambda part: _last(_resized(part, axis, n // 2 + 1), axis))
    if n <= DIRECT:
        matrix = _synthesis_matrix(n, x.shape[-1], scale, isinstance(x, Complex))
        return _moved_back(_product(x, matrix), axis)
    whole = x if isinstance(x, Complex) else Complex(x, x * 0)
    whole = whole.map(lambda part: _extended(part, n // 2 + 1))
    mirrored = whole.map(lambda p: flip(section(p, p.rank - 1, 1, (n - 1) // 2), [-1])).conjugate()
    join = Concatenation(axis=whole.rank - 1)
    first = Complex(whole.real, _without_ends(whole.imag, n))
    full = Complex(join(first.real, mirrored.real), join(first.imag, mirrored.imag))
    return _moved_back(_factored(full, n, scale, inverse=True).real, axis)


def basis(
    rows: int, columns: int, n: int, *, inverse: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of ``-2 * pi * row * column / n``, float64; positive if inverse."""
    products = torch.arange(rows)[:, None] * torch.arange(columns)[None, :] % n
    angles = products.double() * (2 * math.pi / n) * (1 if inverse else -1)
    return angles.cos(), angles.sin()


@lru_cache(maxsize=64)
def _matrix(
    n: int, rows: int, count: int, scale: float, inverse: bool, is_complex: bool
) -> torch.Tensor:
    """``(rows, 2 * count)`` for real x, ``(2 * rows, 2 * count)`` for its parts side by side."""
    cos, sin = (part * scale for part in basis(rows, count, n, inverse=inverse))
    real = torch.cat([cos, sin], 1)
    whole = torch.cat([real, torch.cat([-sin, cos], 1)]) if is_complex else real
    return whole.float()


@lru_cache(maxsize=64)
def _synthesis_matrix(n: int, rows: int, scale: float, is_complex: bool) -> torch.Tensor:
    """``(rows, n)`` or ``(2 * rows, n)``; what has a mirror image counts twice."""
    cos, sin = (part * scale for part in basis(rows, n, n, inverse=True))
    twice = torch.full((rows, 1), 2.0, dtype=torch.float64)
    twice[0] = 1
    if n % 2 == 0 and rows == n // 2 + 1:
        twice[-1] = 1
    return (torch.cat([cos * twice, -sin * twice]) if is_complex else cos * twice).float()


def _factored(x: Tensor | Complex, n: int, scale: float, inverse: bool) -> Complex:
    """A transform of n = first * second elements along the last axis, in three steps."""
    first = _factor(n)
    second = n // first
    lead = x.shape[:-1]
    table = _map(x, lambda p: p.reshape(*lead, first, second))
    inner = spectrum(table, -2, first, first, scale=scale, inverse=inverse)
    turned = multiply(inner, _twiddles(x.network, first, second, inverse))
    outer = spectrum(turned, -1, second, second, scale=1.0, inverse=inverse)
    order = (*range(len(lead)), len(lead) + 1, len(lead))
    return outer.map(lambda p: p.permute(*order).reshape(*lead, n))


def _factor(n: int) -> int:
    """The factor of n closest to its root, from which either is no prime above ``DIRECT``."""
    for first in range(math.isqrt(n), 1, -1):
        if n % first == 0 and _largest_prime(n) <= DIRECT:
            return first
    raise ConversionError(
        explain(
            f"a Fourier transform of length {n}, whose prime factor {_largest_prime(n)} is more "
            f"than {DIRECT}",
            fix=f"pad to a length with small factors: n={_next_smooth(n)}",
        )
    )


def _largest_prime(n: int) -> int:
    largest, factor = 1, 2
    while factor * factor <= n:
        while n % factor == 0:
            n, largest = n // factor, factor
        factor += 1
    return max(largest, n)


def _next_smooth(n: int) -> int:
    return next(m for m in range(n, 2 * n + 1) if _largest_prime(m) <= 7)


def _twiddles(net: Network, first: int, second: int, inverse: bool) -> Complex:
    parts = basis(first, second, first * second, inverse=inverse)
    return Complex(*(net.constant(part.float()) for part in parts))


def _product(x: Tensor | Complex, matrix: torch.Tensor) -> Tensor:
    joined = Concatenation(axis=x.rank - 1)(x.real, x.imag) if isinstance(x, Complex) else x
    return joined @ _shared(x.network, matrix)


def _shared(net: Network, matrix: torch.Tensor) -> Tensor:
    """The constant of a matrix, which the network may have from another transform."""
    for operation in net.operations:
        layer = operation.layer
        if isinstance(layer, Constant) and layer.weights.tensor is matrix:
            return operation.outputs[0]
    return net.append(Constant(weights=Weights(tensor=matrix)), ())[0]


def _resized(x: Tensor, axis: int, n: int) -> Tensor:
    """The first n elements along an axis, or as many as there are; zeros for what may be there."""
    axis, size = axis % x.rank, x.shape[axis]
    if isinstance(size, int):
        return section(x, axis, 0, min(size, n))
    return Slice(
        start=(0,) * x.rank,
        shape=(*x.shape[:axis], n, *x.shape[axis + 1 :]),
        stride=(1,) * x.rank,
        mode=SampleMode.FILL,
    )(x, x.network.constant(0, x.dtype))


def _extended(x: Tensor, n: int) -> Tensor:
    """x with zeros behind its last axis, n elements in all."""
    missing = n - x.shape[-1]
    if missing == 0:
        return x
    zeros = filled(x.network, (*x.shape[:-1], missing), 0, x.dtype)
    return Concatenation(axis=x.rank - 1)(x, zeros)


def _without_ends(imag: Tensor, n: int) -> Tensor:
    """What the mirror image of a spectrum says of its ends: that they are real."""
    kept = torch.ones(n // 2 + 1)
    kept[0] = 0
    if n % 2 == 0:
        kept[-1] = 0
    return imag * imag.network.constant(kept)


def _last(x: Tensor, axis: int) -> Tensor:
    others = [a for a in range(x.rank) if a != axis % x.rank]
    return x.permute(*others, axis % x.rank)


def _moved_back(x: Tensor, axis: int) -> Tensor:
    axis %= x.rank
    return x.permute(*range(axis), x.rank - 1, *range(axis, x.rank - 1))


def _map(x: Tensor | Complex, function: Callable[[Tensor], Tensor]) -> Any:
    return x.map(function) if isinstance(x, Complex) else function(x)
