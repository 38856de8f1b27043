"""Rows of ``layers/shape.py``."""

from __future__ import annotations

import torch

from tests.cases.base import Case, boolean, f16, f32, i64

aten = torch.ops.aten
BATCH = {(0, 0): "batch"}

CASES = [
    Case(aten.view.default, f32(2, 3, 4), [6, 4]),
    Case(aten.view.default, f32(2, 3, 4), [2, -1], dynamic={(0, 2): "w"}),
    Case(aten.view.default, f32(2, 3, 4), [-1, 12], dynamic=BATCH),
    Case(aten.view.default, f32(2, 3, 4), [2, 3, 4]),
    Case(aten.view.default, i64(4), [2, 2]),
    Case(aten.view.default, f32(1, 1), []),
    Case(aten._unsafe_view.default, f16(2, 3, 4), [6, -1]),
    Case(aten.reshape.default, boolean(2, 3, 4), [3, 8]),
    Case(aten.reshape.default, f32(2, 3, 4).mT, [2, -1], dynamic={(0, 1): "w"}),
    Case(aten._reshape_alias.default, f32(2, 3, 4), [6, 4], [4, 1]),
    Case(aten.view_as.default, f32(2, 6), f32(3, 4)),
    Case(aten.reshape_as.default, f32(2, 6), f32(3, 4)),
    Case(aten.flatten.using_ints, f32(2, 3, 4)),
    Case(aten.flatten.using_ints, f32(2, 3, 4), 1, dynamic=BATCH),
    Case(aten.flatten.using_ints, f32(2, 3, 4, 5), 1, -2, dynamic={(0, 2): "h"}),
    Case(aten.flatten.using_ints, f32()),
    Case(aten.unflatten.int, f32(2, 12), 1, [3, 4], dynamic=BATCH),
    Case(aten.unflatten.int, f32(2, 12, 5), -2, [3, -1]),
    Case(aten.permute.default, f32(2, 3, 4), [2, 0, 1], dynamic=BATCH),
    Case(aten.permute.default, i64(2, 3, 4), [-1, -3, -2]),
    Case(aten.transpose.int, f32(2, 3, 4), 0, 2, dynamic=BATCH),
    Case(aten.transpose.int, boolean(2, 3, 4), -1, -2),
    Case(aten.swapdims.default, f32(2, 3, 4), 0, -1),
    Case(aten.swapaxes.default, f32(2, 3, 4), 0, -1),
    Case(aten.t.default, f32(2, 3)),
    Case(aten.t.default, f32(3)),
    Case(aten.numpy_T.default, f32(2, 3)),
    Case(aten.mT.default, f32(2, 3, 4)),
    Case(aten.mH.default, f32(2, 3, 4)),
    Case(aten.adjoint.default, f32(2, 3, 4)),
    Case(aten.movedim.intlist, f32(2, 3, 4, 5), [0, -1], [2, 0]),
    Case(aten.moveaxis.intlist, f32(2, 3, 4, 5), [3, 1], [0, 1]),
    Case(aten.movedim.int, f32(2, 3, 4), 0, -1, dynamic=BATCH),
    Case(aten.movedim.int, torch.tensor(1.0), 0, -1),
    Case(aten.moveaxis.int, f32(2, 3, 4), 2, 0),
    Case(aten.unsqueeze.default, f32(2, 3), 0, dynamic=BATCH),
    Case(aten.unsqueeze.default, i64(2, 3), -1),
    Case(aten.unsqueeze.default, f32(), 0),
    Case(aten.squeeze.default, f32(1, 3, 1, 2)),
    Case(aten.squeeze.default, f32(3, 2)),
    Case(aten.squeeze.dim, f32(2, 1, 3), 1, dynamic=BATCH),
    Case(aten.squeeze.dim, f32(2, 1, 3), -1),
    Case(aten.squeeze.dim, f32(), 0),
    Case(aten.squeeze.dims, f32(1, 2, 1, 3), [0, 1, -2]),
    Case(aten.expand.default, f32(2, 1, 3), [-1, 4, 3], dynamic=BATCH),
    Case(aten.expand.default, f32(2, 1), [5, -1, 3], dynamic=BATCH),
    Case(aten.expand.default, boolean(1, 3), [4, 3], kwargs={"implicit": True}),
    Case(aten.expand.default, i64(), [2, 3]),
    Case(aten.expand.default, f32(2, 3), [2, 3]),
    Case(aten.expand_as.default, f32(1, 3), f32(4, 3), dynamic={(1, 0): "n"}),
    Case(aten.broadcast_to.default, f32(3, 1), [2, 3, 4]),
    Case(aten.broadcast_tensors.default, [f32(3, 1), f32(4), f32(2, 1, 1)]),
]
