"""Rows of ``Cast`` and ``Identity``: Python's own conversions say what is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tests.cases.base import LayerCase, boolean, byte, f32, i64
from trtdsl.ir.cast import Cast, Identity
from trtdsl.types import DType

WRAPPED = torch.tensor([-300, -1, 0, 255, 256, 70000])
EDGES = torch.tensor([-2.7, -1.0, -0.5, 0.0, 0.5, 0.999, 1.5, 2.5, 100.0])


def each(convert: Callable[[Any], Any], dtype: torch.dtype) -> Callable[..., torch.Tensor]:
    return lambda x: torch.tensor([convert(v) for v in x.tolist()], dtype=dtype)


CASES = [
    LayerCase(Cast(dtype=DType.INT32), (EDGES,), each(int, torch.int32)),
    LayerCase(Cast(dtype=DType.INT64), (EDGES,), each(int, torch.int64)),
    LayerCase(Cast(dtype=DType.BOOL), (EDGES,), each(bool, torch.bool)),
    LayerCase(Cast(dtype=DType.FLOAT32), (i64(5),), each(float, torch.float32)),
    LayerCase(Cast(dtype=DType.FLOAT32), (boolean(5),), each(float, torch.float32)),
    LayerCase(Cast(dtype=DType.INT64), (boolean(5),), each(int, torch.int64)),
    LayerCase(Cast(dtype=DType.UINT8), (i64(5, low=0, high=200),), each(int, torch.uint8)),
    LayerCase(
        Cast(dtype=DType.FLOAT16),
        (f32(3, 4),),
        lambda x: torch.from_numpy(x.numpy().astype("float16")),
        symbolic={(0, 0): "n"},
    ),
    LayerCase(Cast(dtype=DType.FLOAT32), (f32(4),), lambda x: x),
    LayerCase(Identity(), (f32(2, 3),), lambda x: x, symbolic={(0, 1): "n"}),
    LayerCase(Identity(), (boolean(2),), lambda x: x),
    LayerCase(Cast(dtype=DType.UINT8), (WRAPPED,), each(lambda v: v & 255, torch.uint8)),
    LayerCase(
        Cast(dtype=DType.UINT8),
        (WRAPPED.char(),),
        each(lambda v: v & 255, torch.uint8),
        gpu="TensorRT 8.6's int8 is a quantized float, with a range of its own",
    ),
    LayerCase(Cast(dtype=DType.UINT8), (boolean(5),), each(int, torch.uint8)),
    LayerCase(Cast(dtype=DType.INT64), (byte(5),), each(int, torch.int64)),
    LayerCase(Cast(dtype=DType.BOOL), (torch.tensor([0, 1, 255]).byte(),), each(bool, torch.bool)),
    LayerCase(Cast(dtype=DType.FLOAT32), (byte(5),), each(float, torch.float32)),
]
