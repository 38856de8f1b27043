"""Rows of layers/tapers.py, and the window functions that PyTorch decomposes."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten

WINDOWS = (
    torch.hann_window,
    torch.hamming_window,
    torch.blackman_window,
    torch.bartlett_window,
    torch.kaiser_window,
)

CASES = [
    *(
        Case(lambda x, w=window, p=periodic: x * w(9, p), f32(2, 9))
        for window in WINDOWS
        for periodic in (False, True)
    ),
    Case(aten.kaiser_window.default, 7),
    Case(aten.kaiser_window.periodic, 7, False),
    Case(aten.hamming_window.periodic_alpha, 8, False, 0.5),
    Case(aten.hamming_window.periodic_alpha_beta, 8, True, 0.5, 0.4),
    Case(aten.bartlett_window.default, 1),
    Case(aten.blackman_window.default, 0),
    Case(aten.kaiser_window.beta, 8, True, 5.0, kwargs={"dtype": torch.float16}),
    Case(aten.bartlett_window.periodic, 6, False),
    Case(aten.blackman_window.periodic, 6, False),
    Case(aten.hamming_window.default, 5),
    Case(aten.hamming_window.periodic, 5, False),
]
