"""Rows of FakeQuantize: PyTorch's own, which multiplies by the reciprocal of the scale."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, f16, f32
from trtdsl.ir.fake_quantize import FakeQuantize


def whole(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    y = torch.fake_quantize_per_tensor_affine(x.double().float(), float(scale), 0, -128, 127)
    return y.to(x.dtype)


def by_channel(axis: int) -> object:
    def reference(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(len(scale), dtype=torch.int32)
        return torch.fake_quantize_per_channel_affine(x, scale, zeros, axis, -128, 127)

    return reference


X = f32(2, 4, 5) * 3
STEP = torch.tensor(0.0625)  # so that nothing is halfway but what is meant to be
STEPS = torch.tensor([0.03125, 0.0625, 0.015625, 0.5])
TIES = torch.tensor([[-0.5, 0.5, 1.5, 2.5, -1.5, 126.5, 127.5, -128.5, 300, -300]]) * 0.0625

CASES = [
    LayerCase(FakeQuantize(), (X, STEP), whole, constants=(1,), symbolic={(0, 0): "n"}),
    LayerCase(FakeQuantize(), (TIES, STEP), whole, constants=(1,)),
    LayerCase(FakeQuantize(), (f16(3, 8), STEP.half()), whole, constants=(1,), tolerance=1e-3),
    LayerCase(FakeQuantize(axis=1), (X, STEPS), by_channel(1), constants=(0, 1)),
    LayerCase(FakeQuantize(axis=0), (f32(4, 3, 3, 3), STEPS), by_channel(0), constants=(0, 1)),
]
