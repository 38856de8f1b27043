"""Rows of the short-time Fourier transform: spectrograms, and back."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten
WINDOW = torch.hann_window(16)
SHORT = torch.hamming_window(10)
X = f32(2, 56)
Z = f32(2, 56, 2)


def spectrum(x: torch.Tensor, window: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.view_as_real(torch.stft(x, *args, window=window, return_complex=True, **kwargs))


def of_pairs(x: torch.Tensor, window: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return spectrum(torch.view_as_complex(x), window, *args, **kwargs)


def by_pairs(x: torch.Tensor, window: torch.Tensor, *args: Any) -> torch.Tensor:
    return spectrum(x, torch.view_as_complex(window), *args)


def mel(x: torch.Tensor, window: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Whisper's logarithmic mel spectrogram."""
    power = torch.stft(x, 16, 4, window=window, return_complex=True)[..., :-1].abs() ** 2
    decibels = (filters @ power).clamp(min=1e-10).log10()
    return torch.maximum(decibels, decibels.amax() - 8.0)


def denoised(x: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Through the spectrogram and back."""
    z = torch.stft(x, 16, 4, window=window, return_complex=True)
    return torch.istft(z * (z.abs() > 1), 16, 4, window=window, length=x.shape[-1])


def inverse(z: torch.Tensor, window: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    with warnings.catch_warnings():  # of signals shorter than the length asked for
        warnings.simplefilter("ignore")
        y = torch.istft(torch.view_as_complex(z), *args, window=window, **kwargs)
    return torch.view_as_real(y) if y.is_complex() else y


T = {(0, 0): "n", (0, 1): "t"}

CASES = [
    Case(spectrum, X, WINDOW, 16, 4, 16, constants=(1,), dynamic=T),
    Case(spectrum, X, SHORT, 15, 4, 10, constants=(1,)),
    *(Case(spectrum, X, WINDOW, 16, 5, kwargs={"pad_mode": mode}, constants=(1,))
      for mode in ("reflect", "constant", "replicate", "circular")),
    Case(spectrum, X, WINDOW, 16, 5, kwargs={"center": False, "normalized": True}, constants=(1,)),
    Case(spectrum, X, WINDOW, 16, 5, kwargs={"onesided": False}, constants=(1,)),
    Case(spectrum, f32(40), WINDOW, 16, constants=(1,)),
    Case(spectrum, f32(40), torch.ones(7), 7, 3, constants=(1,)),
    Case(of_pairs, Z, WINDOW, 16, 5, kwargs={"pad_mode": "constant"}, constants=(1,)),
    Case(by_pairs, X, f32(16, 2), 16, 5, constants=(1,)),
    Case(of_pairs, Z, WINDOW, 16, 5, kwargs={"center": False}, constants=(1,), dynamic=T),
    Case(aten.stft.default, X, 16, 4, None, WINDOW, False, None, False, constants=(4,)),
    Case(aten.stft.center, X, 16, 4, None, WINDOW, True, "reflect", False, None, False,
         constants=(4,)),
    Case(mel, X, WINDOW, f32(5, 9), constants=(1, 2), tolerance=1e-4, dynamic={(0, 1): "t"}),
    Case(denoised, X, WINDOW, constants=(1,), dynamic=T),
    Case(inverse, f32(2, 9, 7, 2), WINDOW, 16, 4, 16, constants=(1,)),
    Case(inverse, f32(2, 9, 7, 2), WINDOW, 16, 4, 16, constants=(1,), dynamic={(0, 2): "t"}),
    Case(inverse, f32(2, 9, 7, 2), SHORT, 16, 4, 10, constants=(1,)),
    Case(inverse, f32(9, 7, 2), WINDOW, 16, 4, constants=(1,),
         kwargs={"normalized": True, "length": 20}),
    Case(inverse, f32(9, 7, 2), WINDOW, 16, 4, kwargs={"length": 37}, constants=(1,)),
    Case(inverse, f32(9, 7, 2), torch.ones(16), 16, 4, kwargs={"center": False}, constants=(1,)),
    Case(inverse, f32(8, 7, 2), torch.ones(15), 15, 4, constants=(1,)),
    Case(inverse, f32(2, 16, 7, 2), WINDOW, 16, 4, kwargs={"onesided": False}, constants=(1,)),
    Case(inverse, f32(2, 16, 7, 2), WINDOW, 16, 4, kwargs={"return_complex": True},
         constants=(1,)),
]  # fmt: skip
