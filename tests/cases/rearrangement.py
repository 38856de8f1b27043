"""Rows of ``layers/rearrangement.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}

CASES = [
    Case(aten.flip.default, f32(2, 3, 4), [0], dynamic=BATCH),
    Case(aten.flip.default, i64(2, 3, 4), [-1, 1], dynamic={(0, 2): "w"}),
    Case(aten.flip.default, f32(2, 3), []),
    Case(aten.roll.default, f32(2, 5, 6, 3), [-2, 3], [1, 2], dynamic=BATCH),
    Case(aten.roll.default, f32(4, 5), [7, -1], [0, -1], dynamic={(0, 1): "w"}),
    Case(aten.roll.default, i64(3, 4), [5]),
    Case(aten.roll.default, f32(3, 4), [0], [1]),
    Case(aten.roll.default, f32(5), [1, 1], [0, 0]),
    Case(aten.repeat.default, f32(2, 3), [2, 3], dynamic=BATCH),
    Case(aten.repeat.default, boolean(2, 1), [3, 1, 4]),
    Case(aten.repeat.default, f32(2, 3), [1, 1]),
    Case(aten.repeat.default, f32(), [3]),
    Case(aten.tile.default, f32(2, 3), [2], dynamic=BATCH),
    Case(aten.tile.default, i64(2, 3), [2, 1, 2]),
    Case(aten.repeat_interleave.self_int, f32(2, 3, 4), 2, -1, dynamic=BATCH),
    Case(aten.repeat_interleave.self_int, f32(2, 3), 3, 0, kwargs={"output_size": 6}),
    Case(aten.repeat_interleave.self_int, i64(2, 3), 2),
    Case(aten.repeat_interleave.self_int, f32(2, 3), 1, 1),
    Case(aten.channel_shuffle.default, f32(2, 6, 3, 4), 3, dynamic={(0, 0): "batch", (0, 3): "w"}),
    Case(aten.native_channel_shuffle.default, f32(2, 6, 3, 4), 2),
    Case(aten.pixel_shuffle.default, f32(2, 8, 3, 4), 2, dynamic={(0, 0): "batch", (0, 2): "h"}),
    Case(aten.pixel_shuffle.default, f16(9, 2, 2), 3),
    Case(aten.pixel_unshuffle.default, f32(2, 3, 4, 6), 2, dynamic=BATCH),
    Case(aten.pixel_unshuffle.default, f32(2, 1, 3, 6, 3), 3),
]
