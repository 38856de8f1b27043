"""Fourier transforms along the last axis, in float32, of complex numbers as pairs.

``fourier`` has the operators of ``torch.fft`` that are made of them.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch

from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch
from trtdsl.ir.plugin import Plugin
from trtdsl.types import Dim, DType, TensorType

from .threads import per_element

__all__ = ["FFT", "IRFFT", "LONGEST_PRIME", "RFFT", "radices"]

LONGEST_PRIME = 4096
"""The longest factor of a length that is transformed directly, in so many steps an element."""
_RADIX = 16
_PAIRS, _REALS, _HALF = range(3)
"""What a line of numbers is: complex, real, or the first half of a real line's transform."""


def radices(n: int) -> list[int]:
    """Factors of a length up to 16, and the primes above that."""
    found, factor = [], _RADIX
    while factor > 1:
        if n % factor:
            factor -= 1
        else:
            found.append(factor)
            n //= factor
    factor = _RADIX + 1
    while n > 1:
        if factor * factor > n:
            factor = n
        if n % factor:
            factor += 1
        else:
            found.append(factor)
            n //= factor
    return found or [1]


class _Transform(Plugin, kernel="fft.cu"):
    """What the transforms have in common: a pass for each of ``radices(n)``.

    A pass takes as many steps an element as its radix. All but the last write to the workspace.
    """

    @abstractmethod
    def length(self, *shape: Dim) -> Dim:
        """The transform's length, for an input of this shape."""

    def check(self, x: TensorType, *, pairs: bool) -> None:
        """Refuse other types than float32, and lengths that are too much work."""
        self.require(x.dtype is DType.FLOAT32, f"takes float32, not {x}")
        fits = x.rank > 1 and x.shape[-1] == 2 if pairs else x.rank > 0
        self.require(fits, f"takes {'pairs (*S, n, 2)' if pairs else 'reals (*S, n)'}, not {x}")
        n = self.length(*x.shape)
        if isinstance(n, int):
            self.require(n > 0, f"a transform of length {n}")
            works = max(radices(n)) <= LONGEST_PRIME
            self.require(works, f"length {n} has a prime factor above {LONGEST_PRIME}")

    def passes(
        self, x: Buffer, y: Buffer, workspace: Buffer | None, line: _Line
    ) -> tuple[Launch, ...]:
        """The launches. Between two, all lines lie in one half of the workspace or the other."""
        steps = radices(line.length)
        launches, done, last = [], 1, len(steps) - 1
        for i, radix in enumerate(steps):
            kept = line.kept if i == last else line.length
            read, write = (x if i == 0 else workspace), (y if i == last else workspace)
            begin = (i - 1) % 2 if i else 0, i % 2 if i < last else 0
            launches.append(
                per_element(
                    "pass",
                    line.count * kept,
                    *(read, write, *(half * line.count * line.length for half in begin)),
                    *(line.length, radix, done, line.source if i == 0 else _PAIRS, line.inverse),
                    *(line.real and i == last, kept, line.scale if i == last else 1.0),
                )
            )
            done *= radix
        return tuple(launches)


@dataclass(frozen=True, kw_only=True)
class _Line:
    """The lines that are transformed: how many, how long, and what is read and written of them."""

    count: int
    length: int
    kept: int
    source: int
    inverse: bool
    real: bool
    scale: float


@dataclass(frozen=True, kw_only=True)
class FFT(_Transform):
    """``scale * sum_k x[k] exp(-2 pi i j k / n)``, or with ``inverse`` of the other sign.

    Input and output: ``(*S, n, 2)`` float32, real parts and imaginary parts.
    Errors: ShapeError, also where n has a prime factor above ``LONGEST_PRIME``.
    Source: https://doi.org/10.1145/1464291.1464352 (Stockham); torch.fft.fft, torch.fft.ifft.
    """

    inverse: bool = False
    scale: float = 1.0

    def length(self, *shape: Dim) -> Dim:
        return shape[-2]

    def infer(self, x: TensorType) -> TensorType:
        self.check(x, pairs=True)
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        numbers = torch.view_as_complex(x.contiguous())
        n = numbers.shape[-1]
        y = torch.fft.ifft(numbers) * n if self.inverse else torch.fft.fft(numbers)
        return torch.view_as_real(y * self.scale)

    def workspace(self, x: TensorType) -> int:
        return int(_halves(x.shape[-2]) * 4 * x.volume)

    def launch(self, x: Buffer, y: Buffer, *, workspace: Buffer | None) -> tuple[Launch, ...]:
        n = x.shape[-2]
        line = _Line(
            count=x.volume // (2 * n),
            length=n,
            kept=n,
            source=_PAIRS,
            inverse=self.inverse,
            real=False,
            scale=self.scale,
        )
        return self.passes(x, y, workspace, line)


@dataclass(frozen=True, kw_only=True)
class RFFT(_Transform):
    """The first half of ``FFT`` of real numbers: ``(*S, n) -> (*S, n // 2 + 1, 2)`` float32.

    Errors: as of ``FFT``. Source: torch.fft.rfft.
    """

    scale: float = 1.0

    def length(self, *shape: Dim) -> Dim:
        return shape[-1]

    def infer(self, x: TensorType) -> TensorType:
        self.check(x, pairs=False)
        return x.with_shape((*x.shape[:-1], x.shape[-1] // 2 + 1, 2))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(torch.fft.rfft(x) * self.scale)

    def workspace(self, x: TensorType) -> int:
        return int(_halves(x.shape[-1]) * 8 * x.volume)

    def launch(self, x: Buffer, y: Buffer, *, workspace: Buffer | None) -> tuple[Launch, ...]:
        n = x.shape[-1]
        line = _Line(
            count=x.volume // n,
            length=n,
            kept=n // 2 + 1,
            source=_REALS,
            inverse=False,
            real=False,
            scale=self.scale,
        )
        return self.passes(x, y, workspace, line)


@dataclass(frozen=True, kw_only=True)
class IRFFT(_Transform):
    """n times the real numbers with this ``RFFT``: ``(*S, n // 2 + 1, 2) -> (*S, n)`` float32.

    With ``scale=1 / n`` it is ``RFFT``'s inverse, and ``torch.fft.irfft``.
    Errors: as of ``FFT``. Source: torch.fft.irfft.
    """

    n: int
    scale: float = 1.0

    def length(self, *shape: Dim) -> Dim:
        return self.n

    def infer(self, x: TensorType) -> TensorType:
        self.check(x, pairs=True)
        given = x.shape[-2]
        fits = not isinstance(given, int) or given == self.n // 2 + 1
        self.require(fits, f"takes {self.n // 2 + 1} pairs a line, not {x}")
        return x.with_shape((*x.shape[:-2], self.n))

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        half = torch.view_as_complex(x.contiguous())
        y: torch.Tensor = torch.fft.irfft(half, self.n, norm="forward") * self.scale
        return y

    def workspace(self, x: TensorType) -> int:
        return int(_halves(self.n) * 8 * self.infer(x).volume)

    def launch(self, x: Buffer, y: Buffer, *, workspace: Buffer | None) -> tuple[Launch, ...]:
        line = _Line(
            count=y.volume // self.n,
            length=self.n,
            kept=self.n,
            source=_HALF,
            inverse=True,
            real=True,
            scale=self.scale,
        )
        return self.passes(x, y, workspace, line)


def _halves(n: int) -> int:
    """How many times all lines are kept in the workspace: a smaller length may need both halves."""
    return 2 if n > _RADIX else 0
