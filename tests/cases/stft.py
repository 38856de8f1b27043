"""Rows of the short-time Fourier transform: spectrograms, and back."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from tests.cases.base import Case, f32
from tests.cases.complex import pairs

aten = torch.ops.aten
WINDOW = torch.hann_window(16)
SHORT = torch.hamming_window(10)
X = f32(2, 56)
Z = f32(2, 56, 2)


def spectrum(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return torch.view_as_real(torch.stft(x, *args, return_complex=True, **kwargs))


def mel(x: torch.Tensor, window: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Whisper's logarithmic mel spectrogram."""
    power = torch.stft(x, 16, 4, window=window, return_complex=True)[..., :-1].abs() ** 2
    decibels = (filters @ power).clamp(min=1e-10).log10()
    return torch.maximum(decibels, decibels.amax() - 8.0)


def denoised(x: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    """Through the spectrogram and back."""
    z = torch.stft(x, 16, 4, window=window, return_complex=True)
    return torch.istft(z * (z.abs() > 1), 16, 4, window=window, length=x.shape[-1])


def inverse(z: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    with warnings.catch_warnings():  # of signals shorter than the length asked for
        warnings.simplefilter("ignore")
        y = torch.istft(torch.view_as_complex(z), *args, **kwargs)
    return torch.view_as_real(y) if y.is_complex() else y


T = {(0, 0): "n", (0, 1): "t"}

CASES = [
    Case(spectrum, X, 16, 4, 16, WINDOW, constants=(4,), dynamic=T),
    Case(spectrum, X, 16, 4, 16, WINDOW),
    Case(spectrum, X, 15, 4, 10, SHORT, constants=(4,)),
    *(Case(spectrum, X, 16, 5, kwargs={"center": True, "pad_mode": mode, "window": WINDOW})
      for mode in ("reflect", "constant", "replicate", "circular")),
    Case(spectrum, X, 16, 5, kwargs={"center": False, "normalized": True, "window": WINDOW}),
    Case(spectrum, X, 16, 5, kwargs={"onesided": False, "window": WINDOW}),
    Case(spectrum, f32(40), 16, kwargs={"window": WINDOW}),
    Case(pairs(torch.stft), Z, 16, 5, kwargs={"window": WINDOW, "return_complex": True,
                                             "pad_mode": "constant"}),
    Case(lambda x, w: torch.view_as_real(torch.stft(x, 16, 5, window=torch.view_as_complex(w),
                                                    return_complex=True)), X, f32(16, 2)),
    Case(aten.stft.default, X, 16, 4, None, WINDOW, False, None, False, constants=(4,)),
    Case(aten.stft.center, X, 16, 4, None, WINDOW, True, "reflect", False, None, False),
    Case(mel, X, WINDOW, f32(5, 9), constants=(1, 2), tolerance=1e-4),
    Case(denoised, X, WINDOW, constants=(1,)),
    Case(denoised, X, WINDOW, constants=(1,), dynamic={(0, 0): "n"}),
    Case(inverse, f32(2, 9, 7, 2), 16, 4, 16, WINDOW, constants=(4,)),
    Case(inverse, f32(2, 9, 7, 2), 16, 4, 16, WINDOW, constants=(4,), dynamic={(0, 2): "t"}),
    Case(inverse, f32(2, 9, 7, 2), 16, 4, 10, SHORT),
    Case(inverse, f32(9, 7, 2), 16, 4, kwargs={"normalized": True, "length": 20, "window": WINDOW}),
    Case(inverse, f32(9, 7, 2), 16, 4, kwargs={"length": 37, "window": WINDOW}),
    Case(inverse, f32(9, 7, 2), 16, 4, kwargs={"center": False}),
    Case(inverse, f32(8, 7, 2), 15, 4),
    Case(inverse, f32(2, 16, 7, 2), 16, 4, kwargs={"onesided": False, "window": WINDOW}),
    Case(inverse, f32(2, 16, 7, 2), 16, 4, kwargs={"return_complex": True, "window": WINDOW}),
]  # fmt: skip
