"""Functions of another file than the models that call them, which count in Python."""

from __future__ import annotations

import torch


def is_before(ends: torch.Tensor, length: int) -> torch.Tensor:
    """``(N, length)``: whether a place is before each end."""
    return torch.arange(length).expand(len(ends), length) < ends[:, None]


def put_together(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Windows ``(N * .., h, w)`` as images ``(N, .., h, w)``, as Swin transformers reckon."""
    size = windows.shape[-1]
    images = int(windows.shape[0] / (height * width / size / size))
    return windows.view(images, -1, size, size)
