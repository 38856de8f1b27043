"""A model as training with fake quantization leaves it: all that takes weights, and a cut."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["Trained"]


class Trained(nn.Module):
    """A linear layer, part of its weights once more, and convolutions both ways."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 6)
        self.convolution = nn.Conv2d(3, 4, 3)
        self.deconvolution = nn.ConvTranspose2d(4, 3, 3)

    @staticmethod
    def rounded(weights: torch.Tensor, axis: int) -> torch.Tensor:
        others = [a for a in range(weights.dim()) if a != axis]
        scales = weights.detach().abs().amax(others) / 127
        zeros = torch.zeros(len(scales), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(weights, scales, zeros, axis, -127, 127)

    def forward(self, x: torch.Tensor, image: torch.Tensor) -> list[torch.Tensor]:
        x, image = (
            torch.fake_quantize_per_tensor_affine(t, 0.05, 0, -128, 127) for t in (x, image)
        )
        weights = self.rounded(self.linear.weight, 0)
        y = F.conv2d(image, self.rounded(self.convolution.weight, 0))
        y = torch.fake_quantize_per_tensor_affine(y, 0.05, 0, -128, 127)
        return [
            F.linear(x, weights, self.linear.bias),
            x @ weights[::2].t(),
            F.conv_transpose2d(y, self.rounded(self.deconvolution.weight, 1)),
        ]
