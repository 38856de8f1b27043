"""Rows of layers/conversion.py."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i32, i64

aten = torch.ops.aten

X = f32(2, 3, 4) * 3

CASES = [
    Case(aten.to.dtype, X, torch.float16),
    Case(aten.to.dtype, X, torch.int64, dynamic={(0, 0): "batch"}),
    Case(aten.to.dtype, X, torch.bool),
    Case(aten.to.dtype, X, torch.float32),
    Case(aten.to.dtype, boolean(3, 4), torch.float32),
    Case(aten.to.dtype, i64(3, 4), torch.int32),
    Case(aten.to.dtype, f16(3, 4), torch.bfloat16, gpu="TensorRT 8.6 has no bfloat16"),
    Case(aten.to.dtype, torch.arange(5, dtype=torch.uint8), torch.float32),
    Case(aten.to.dtype, X, torch.float64).raises("float64"),
    Case(aten.to.device, X, torch.device("cpu"), torch.float16),
    Case(aten.to.other, X, i32(1)),
    Case(aten.to.dtype_layout, X, kwargs={"dtype": torch.int32, "layout": torch.strided}),
    Case(aten.to.dtype_layout, X, kwargs={"layout": torch.strided}),
    Case(aten._to_copy.default, i64(3, 4), kwargs={"dtype": torch.bool}),
    Case(aten._to_copy.default, X),
    Case(aten.type_as.default, i64(3, 4), X),
    Case(aten.view.dtype, X, torch.float32),
    Case(aten.clone.default, X),
    Case(aten.clone.default, f32(1, 2, 3, 4), kwargs={"memory_format": torch.channels_last}),
    Case(aten.contiguous.default, X),
    Case(aten.alias.default, X),
    Case(aten.detach.default, X),
    Case(aten.lift_fresh.default, X),
    Case(aten.lift_fresh_copy.default, X),
    Case(aten.positive.default, X),
    Case(aten.copy.default, X, f32(3, 1)),
    Case(aten.copy.default, i64(2, 3), f32(2, 3) * 5),
]
