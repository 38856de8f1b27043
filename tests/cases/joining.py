"""Rows of ``layers/joining.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}
EMPTY = torch.empty(0)

CASES = [
    Case(
        aten.cat.default,
        [f32(2, 3), f32(2, 1)],
        1,
        dynamic={(0, 0): "batch", (1, 0): "batch", (1, 1): "n"},
    ),
    Case(aten.cat.default, [f32(2, 3), f32(4, 3), f32(1, 3)]),
    Case(aten.cat.default, [f32(2, 3, 4), f32(2, 3, 1)], -1),
    Case(aten.cat.default, [i64(3), f16(2), i32(1)]),
    Case(aten.cat.default, [boolean(3), i32(2)]),
    Case(aten.cat.default, [f32(2, 3), EMPTY, f32(2, 2)], 1),
    Case(aten.cat.default, [f32(2, 3)], 1),
    Case(aten.concat.default, [i64(2, 3), i64(2, 3)], -1),
    Case(aten.concatenate.default, [f32(2, 3), f32(2, 3)], 1),
    Case(aten.stack.default, [f32(2, 3), f32(2, 3)], dynamic={(0, 0): "batch", (1, 0): "batch"}),
    Case(aten.stack.default, [f32(2, 3), f32(2, 3), i64(2, 3)], -1),
    Case(aten.stack.default, [i64(), i64()]),
    Case(aten.stack.default, [f32(2)], 1),
    Case(aten.hstack.default, [f32(2, 3), f32(2, 1)]),
    Case(aten.hstack.default, [f32(2), f32(3)]),
    Case(aten.vstack.default, [f32(3), f32(2, 3)]),
    Case(aten.split.Tensor, f32(2, 7), 3, 1, dynamic=BATCH),
    Case(aten.split.Tensor, i64(6, 2), 2),
    Case(aten.split.Tensor, f32(3, 2), 5),
    Case(aten.unsafe_split.Tensor, f32(2, 4), 2, -1),
    Case(aten.split_with_sizes.default, f32(2, 6), [1, 2, 3], -1, dynamic=BATCH),
    Case(aten.split_with_sizes.default, f32(2, 3), [0, 3], 1),
    Case(aten.unsafe_split_with_sizes.default, f32(5, 2), [2, 3]),
    Case(aten.split.sizes, f32(5, 2), [2, 3]),
    Case(aten.chunk.default, f32(2, 7), 3, 1, dynamic=BATCH),
    Case(aten.chunk.default, f32(2, 6), 4, -1),
    Case(aten.chunk.default, f32(6, 2), 1),
    Case(aten.unsafe_chunk.default, f32(2, 6), 2, 1),
    Case(aten.tensor_split.sections, f32(2, 7), 3, 1, dynamic=BATCH),
    Case(aten.tensor_split.indices, f32(7, 2), [2, 5]),
    Case(aten.tensor_split.indices, f32(2, 7), [-3], 1, dynamic=BATCH),
    Case(aten.unbind.int, f32(2, 3, 4), 1, dynamic=BATCH),
    Case(aten.unbind.int, i64(3)),
    Case(aten.unbind.int, f32(2, 3), -1),
    Case(aten.split.Tensor, f32(2, 5), 64, 1, dynamic={(0, 1): "n"}),
    Case(aten.split.Tensor, f32(0, 3), 2),
    Case(aten.chunk.default, f32(0, 3), 3),
]
