"""Rows of ``layers/padding.py``."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}
SIZES = {(0, 0): "batch", (0, 2): "h", (0, 3): "w"}


def reflected(x: torch.Tensor) -> torch.Tensor:
    """Padding of sizes that are known to be large enough for it."""
    return F.pad(torch.cat([x, x], 3).repeat(1, 1, 2, 1), [1, 0, 1, 1], "reflect")


CASES = [
    Case(aten.pad.default, f32(2, 3), [0, 15], dynamic=BATCH),
    Case(aten.pad.default, f32(2, 3, 4, 5), [1, 2, 3, 0], dynamic=SIZES),
    Case(aten.pad.default, f32(2, 3, 4, 5), [1, -1, 2, 0], "constant", 0.5, dynamic=SIZES),
    Case(aten.pad.default, f32(2, 3, 4, 5), [-1, -1, -2, 0], "constant", 0),
    Case(aten.pad.default, f32(2, 3, 4, 5), [0, 1, 0, 1], "constant", float("-inf")),
    Case(aten.pad.default, f32(2, 3, 4), [0, 0, 0, 0]),
    Case(aten.pad.default, i64(2, 3), [1, 1], "constant", 7),
    Case(aten.pad.default, boolean(2, 3), [1, 1], "constant", 1),
    Case(aten.pad.default, f16(2, 3, 4, 5, 6), [1, 1, 0, 2, 1, 0]),
    Case(aten.pad.default, f32(2, 5), [3, 4], "reflect", dynamic=BATCH),
    Case(aten.pad.default, f32(2, 3, 4, 5), [2, 1, 0, 3], "reflect", dynamic=BATCH),
    Case(reflected, f32(2, 3, 4, 5), dynamic=SIZES),
    Case(aten.pad.default, f32(1, 2, 3, 4, 5), [1, 2, 1, 0, 2, 2], "reflect"),
    Case(aten.pad.default, f32(2, 3, 4), [2, 5], "replicate", dynamic={(0, 2): "w"}),
    Case(aten.pad.default, f32(2, 3, 4, 5), [2, 1, 0, 7], "replicate", dynamic=SIZES),
    Case(aten.pad.default, f32(1, 2, 3, 4, 5), [1, 2, 1, 0, 2, 2], "replicate"),
    Case(aten.pad.default, f32(2, 3, 4), [2, 3], "circular", dynamic=BATCH),
    Case(aten.pad.default, f32(2, 3, 4, 5), [2, 5, 0, 3], "circular"),
    Case(aten.pad.default, f32(2, 3, 4, 5), [-2, 1, 1, -1], "circular"),
    Case(aten.pad.default, f32(1, 2, 3, 4, 5), [1, 2, 1, 0, 3, 2], "circular"),
    Case(aten.constant_pad_nd.default, f32(2, 3, 4), [1, 0, 0, 2]),
    Case(aten.constant_pad_nd.default, f32(2, 3, 4), [1, 0, 0, 2, -1, 1], -1.5),
    Case(aten.reflection_pad1d.default, f32(2, 3, 4), [3, 1]),
    Case(aten.reflection_pad2d.default, f32(2, 3, 4, 5), [1, 2, 3, 0], dynamic=BATCH),
    Case(aten.reflection_pad2d.default, f32(2, 4, 5), [-1, 2, 3, -2]),
    Case(aten.reflection_pad3d.default, f32(2, 1, 3, 4, 5), [1, 2, 3, 0, 2, 1]),
    Case(aten.replication_pad1d.default, f32(2, 3, 4), [3, 6]),
    Case(aten.replication_pad2d.default, f32(2, 3, 4, 5), [1, 2, 8, 0], dynamic=SIZES),
    Case(aten.replication_pad3d.default, f32(2, 1, 3, 4, 5), [1, 2, 3, 0, 2, 1]),
]
