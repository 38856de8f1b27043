"""Rows of products with one matrix for each group of rows."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from tests.cases.base import Case, f16, f32
from tests.models import vision_operators

assert vision_operators.SCHEMAS, "transformers imports torchvision"
_grouped = torch.ops.aten._grouped_mm.default
OLD = "TensorRT 8.6 has no bfloat16"


def fallback(*args: Any) -> torch.Tensor:
    """transformers' own operator, for dtypes that PyTorch's does not take."""
    importlib.import_module("transformers.integrations.moe")
    return torch.ops.transformers.grouped_mm_fallback(*args)


def bf16(*shape: int) -> torch.Tensor:
    return f32(*shape).bfloat16()


def ends(*rows: int) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.int32)


CASES = [
    Case(fallback, f32(10, 16), f32(3, 16, 8), ends(4, 4, 10)),
    Case(fallback, f32(10, 16), f32(3, 16, 8), ends(0, 7, 9), constants=(1,)),
    Case(fallback, f32(12, 16), f32(4, 16, 8), ends(3, 5, 9, 12), dynamic={(0, 0): "rows"}),
    Case(fallback, f16(6, 16), f16(2, 16, 8), ends(1, 6).long(), tolerance=5e-3),
    Case(_grouped, bf16(10, 16), bf16(3, 16, 8), ends(4, 4, 10), tolerance=2e-2, gpu=OLD),
    Case(_grouped, bf16(3, 5, 16), bf16(3, 16, 8), tolerance=2e-2, gpu=OLD),
    Case(_grouped, bf16(4, 16), bf16(16, 24), ends(8, 16)).raises("groups of columns"),
]
