"""Rows of Fourier transforms: between real tensors, as engines have no complex ones."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch

from tests.cases.base import Case, f32, i64
from tests.cases.complex import pairs

aten = torch.ops.aten
fft = torch.fft


def filtered(x: torch.Tensor) -> torch.Tensor:
    """What a global filter does: a product in the frequency domain."""
    z = fft.rfft2(x, dim=(1, 2), norm="ortho")
    return fft.irfft2(z * (1 - 2j), s=x.shape[1:3], dim=(1, 2), norm="ortho")


def mixed(x: torch.Tensor) -> torch.Tensor:
    """FNet's mixing of tokens."""
    return fft.fftn(x, dim=(1, 2)).real


def shifted(x: torch.Tensor) -> Any:
    z = fft.fftshift(fft.fft2(x))
    return torch.view_as_real(z), fft.ifft2(fft.ifftshift(z)).real


N = {(0, 0): "n"}
X = f32(3, 7, 6)
Z = f32(3, 7, 6, 2)
NORMS = ("backward", "ortho", "forward")

CASES = [
    *(Case(pairs(f, 0), X, kwargs={"norm": n}) for f, n in product((fft.fft, fft.rfft), NORMS)),
    *(Case(pairs(f, 0), X, kwargs={"norm": n}) for f, n in product((fft.ifft, fft.ihfft), NORMS)),
    *(Case(pairs(f), Z, kwargs={"norm": n}) for f, n in product((fft.fft, fft.ifft), NORMS)),
    *(Case(pairs(f), Z, kwargs={"norm": n}) for f, n in product((fft.hfft, fft.irfft), NORMS)),
    *(Case(pairs(f), Z, n, d) for f in (fft.fft, fft.ifft, fft.irfft, fft.hfft)
      for n, d in ((4, 1), (9, 0), (5, -1), (1, 1))),
    *(Case(pairs(f, 0), X, n, d) for f in (fft.rfft, fft.ihfft)
      for n, d in ((4, 1), (9, 0), (5, -1), (1, 1))),
    Case(pairs(fft.rfft, 0), X, dynamic={(0, 0): "n", (0, 1): "t"}),
    Case(pairs(fft.fft), Z, None, 2, dynamic=N),
    Case(pairs(fft.irfft), Z, 8, dynamic=N),
    # A length of its own: what a size of the run has of it, and zeros.
    Case(pairs(fft.rfft, 0), X, 6, 1, dynamic={(0, 0): "n", (0, 1): "t"}),
    Case(pairs(fft.fft), Z, 5, 1, dynamic={(0, 1): "t"}),
    Case(pairs(fft.irfft), Z, 8, 1, dynamic={(0, 1): "t"}),
    *(Case(pairs(f), Z, kwargs={"norm": n}) for f, n in product((fft.fft2, fft.irfft2), NORMS)),
    *(Case(pairs(f), Z, (4, 9), (0, 1)) for f in (fft.fft2, fft.ifft2, fft.irfft2, fft.hfft2)),
    *(Case(pairs(f), Z, (4, -1)) for f in (fft.fftn, fft.ifftn, fft.irfftn, fft.hfftn)),
    *(Case(pairs(f), Z) for f in (fft.fftn, fft.ifftn, fft.irfftn, fft.hfftn)),
    *(Case(pairs(f, 0), X, (4, 9), (0, 1)) for f in (fft.rfft2, fft.ihfft2)),
    *(Case(pairs(f, 0), X, None, None, n) for f in (fft.rfftn, fft.ihfftn) for n in NORMS),
    Case(pairs(fft.fft, 0), i64(2, 6)),
    Case(pairs(fft.rfft, 0), f32(5)),
    # Longer ones are cut into factors.
    Case(pairs(fft.fft), f32(2, 1200, 2), tolerance=2e-5),
    Case(pairs(fft.ifft), f32(2, 2 * 1021, 2), tolerance=2e-5),
    Case(pairs(fft.rfft, 0), f32(2, 1500), 1600, tolerance=2e-5),
    Case(pairs(fft.rfft, 0), f32(1, 12000), tolerance=2e-5),
    Case(pairs(fft.irfft), f32(2, 601, 2), tolerance=2e-5),
    Case(pairs(fft.irfft), f32(2, 600, 2), 1225, tolerance=2e-5),
    Case(pairs(fft.hfft), f32(2, 601, 2), 1100, tolerance=2e-5),
    Case(pairs(fft.fft), f32(2, 1031, 2)).raises("prime factor 1031(.|\n)*n=1050"),
    Case(filtered, f32(2, 7, 6, 3), dynamic=N),
    Case(mixed, f32(2, 5, 6), dynamic=N),
    Case(shifted, f32(3, 5, 6)),
    Case(aten.fft_irfft.default, X),
    Case(aten.fft_irfft2.default, X),
    Case(aten.fft_irfftn.default, X, (4, 5)),
    Case(aten.fft_hfft.default, X, 5, 1),
    Case(aten.fft_hfft2.default, X),
    Case(aten.fft_hfftn.default, X, None, (0, 2), "ortho"),
    Case(aten.fft_fftshift.default, X, dynamic={(0, 1): "t"}),
    Case(aten.fft_fftshift.default, X, [1, -1]),
    Case(aten.fft_ifftshift.default, X, dynamic={(0, 1): "t"}),
    Case(lambda x: x + fft.fftfreq(6, 0.5), X),
    Case(lambda x: x + fft.rfftfreq(11, d=2.0), X),
    Case(aten.fft_fftfreq.default, 6, 0.5),
    Case(aten.fft_fftfreq.default, 7),
    Case(aten.fft_rfftfreq.default, 11, 2.0),
    *(Case(pairs(aten._fft_c2c.default), Z, [0, 2], n, b) for n in range(3) for b in (True, False)),
    *(Case(pairs(aten._fft_r2c.default, 0), X, [0, 2], n, b)
      for n in range(3) for b in (True, False)),
    *(Case(pairs(aten._fft_c2r.default), Z, [0, 2], n, 10) for n in range(3)),
]  # fmt: skip
