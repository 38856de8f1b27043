"""Rows of the fake quantizations that models are trained with."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f32

aten = torch.ops.aten

X, IMAGE = f32(2, 4, 5) * 3, f32(2, 4, 3, 3) * 2
N = {(0, 0): "n"}
SCALE, SCALES = torch.tensor(0.0625), torch.tensor([0.03125, 0.0625, 0.015625, 0.5])
ZERO, ZEROS = torch.tensor(0, dtype=torch.int32), torch.zeros(4, dtype=torch.int32)
OFF = torch.tensor([3, 0, 7, 100], dtype=torch.int32)

CASES = [
    Case(aten.fake_quantize_per_tensor_affine.default, X, 0.0625, 0, -128, 127, dynamic=N),
    Case(aten.fake_quantize_per_tensor_affine.default, X * 9, 0.0625, 0, -127, 127),
    Case(aten.fake_quantize_per_tensor_affine.default, X, 0.0625, 0, -8, 7),
    Case(aten.fake_quantize_per_tensor_affine.default, X, 0.03125, 117, 0, 255, dynamic=N),
    Case(aten.fake_quantize_per_tensor_affine.tensor_qparams, X, SCALE, ZERO, -128, 127,
         constants=(1, 2)),
    Case(aten.fake_quantize_per_tensor_affine.tensor_qparams, X, SCALE, ZERO + 4, 0, 255,
         constants=(1, 2)),
    Case(aten.fake_quantize_per_tensor_affine.tensor_qparams, X, SCALE, ZERO, -128, 127,
         constants=(1,), fails="zero_point of a quantization is"),
    Case(aten.fake_quantize_per_channel_affine.default, IMAGE, SCALES, ZEROS, 1, -128, 127,
         constants=(0, 1, 2)),
    Case(aten.fake_quantize_per_channel_affine.default, IMAGE, SCALES, ZEROS, 1, -127, 127,
         constants=(0, 1, 2)),
    Case(aten.fake_quantize_per_channel_affine.default, IMAGE, SCALES, OFF, 1, 0, 255,
         constants=(1, 2), dynamic=N),
    Case(aten.fake_quantize_per_channel_affine.default, IMAGE, SCALES, ZEROS, 1, -128, 127,
         constants=(1, 2), dynamic=N),
]  # fmt: skip
