"""Rows of adaptive pooling."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f16, f32
from tests.cases.pooling import First

aten = torch.ops.aten

N = {(0, 0): "n"}
NHW = {(0, 0): "n", (0, 2): "h", (0, 3): "w"}

CASES = [
    Case(aten.adaptive_avg_pool1d.default, f32(2, 3, 9), [1], dynamic={(0, 2): "l"}),
    Case(aten.adaptive_avg_pool1d.default, f32(2, 3, 9), [4]),
    Case(aten.adaptive_avg_pool1d.default, f32(3, 5), [7]),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 7, 6), [1, 1], dynamic=NHW),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 8, 6), [2, 3], dynamic=N),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 9, 7), [6, 6], dynamic=N),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 4, 5), [7, 7]),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 7, 7), [7, 7]),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 5, 7), [1, 3], dynamic={(0, 2): "h"}),
    Case(aten.adaptive_avg_pool2d.default, f32(2, 3, 8, 7), [4, 3]),
    Case(aten.adaptive_avg_pool2d.default, f32(3, 6, 6), [2, 2]),
    Case(aten.adaptive_avg_pool2d.default, f16(2, 3, 6, 5), [3, 2], tolerance=2e-3),
    Case(aten.adaptive_avg_pool3d.default, f32(1, 2, 4, 6, 5), [1, 1, 1], dynamic={(0, 2): "d"}),
    Case(aten.adaptive_avg_pool3d.default, f32(1, 2, 5, 7, 4), [3, 2, 3]),
    Case(aten.adaptive_avg_pool3d.default, f16(1, 3, 8, 8, 6), [4, 8, 2], tolerance=2e-3),
    Case(aten._adaptive_avg_pool2d.default, f32(2, 3, 7, 6), [3, 2]),
    Case(aten._adaptive_avg_pool3d.default, f32(1, 2, 4, 6, 5), [2, 3, 2]),
    Case(First(aten.adaptive_max_pool1d.default), f32(2, 3, 9), [4]),
    Case(First(aten.adaptive_max_pool1d.default), f32(2, 3, 9), [1], dynamic={(0, 2): "l"}),
    Case(First(aten.adaptive_max_pool2d.default), f32(2, 3, 7, 6), [1, 1], dynamic=NHW),
    Case(First(aten.adaptive_max_pool2d.default), f32(2, 3, 8, 8), [1, 8], dynamic={(0, 2): "h"}),
    Case(First(aten.adaptive_max_pool2d.default), f32(2, 3, 9, 7), [4, 3], dynamic=N),
    Case(First(aten.adaptive_max_pool2d.default), f32(3, 4, 5), [7, 5]),
    Case(First(aten.adaptive_max_pool3d.default), f32(1, 2, 5, 7, 4), [3, 2, 4]),
    Case(aten.adaptive_max_pool2d.default, f32(2, 3, 9, 7), [3, 3], dynamic={(0, 0): "batch"}),
    Case(aten.adaptive_max_pool2d.default, f32(2, 3, 9, 7), [3, 2], dynamic=NHW),
    Case(aten.adaptive_max_pool1d.default, f32(3, 9).round(), [4], dynamic={(0, 1): "l"}),
    Case(aten.adaptive_max_pool1d.default, f32(3, 9), [4]),
    Case(aten.adaptive_max_pool3d.default, f32(2, 3, 5, 4, 6), [2, 1, 4]),
]
