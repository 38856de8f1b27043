"""Rows of the normalizations."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, f16, f32
from tests.cases.pooling import First

aten = torch.ops.aten

HALF = 4e-3
N = {(0, 0): "n"}
NHW = {(0, 0): "n", (0, 2): "h", (0, 3): "w"}


def statistics(channels: int) -> tuple[torch.Tensor, ...]:
    """Weight, bias, running mean and running variance."""
    return (
        f32(channels), f32(channels, seed=1), f32(channels, seed=2),
        f32(channels, low=0.5, high=2.0),
    )  # fmt: skip


def batch(x: torch.Tensor, *, eps: float = 1e-5, dynamic: Any = None, **given: Any) -> Case:
    weight, bias, mean, var = (s.to(x.dtype) for s in statistics(x.shape[1]))
    args = (x, weight, bias, mean, var, False, 0.1, eps, False)
    return Case(aten.batch_norm.default, *args, constants=(1, 2, 3, 4), dynamic=dynamic, **given)


def over_last(x: torch.Tensor, count: int, weight: torch.Tensor | None = None) -> torch.Tensor:
    """A layer norm over the last axes, whatever sizes they have."""
    return torch.nn.functional.layer_norm(x, x.shape[-count:], weight)


W, B, MEAN, VAR = statistics(3)
CHANNELS = dict.fromkeys(((0, 1), (1, 0), (2, 0), (3, 0), (4, 0)), "c")

BATCH = [
    batch(f32(2, 3, 4, 5), dynamic=NHW),
    batch(f32(2, 3, 4, 5), eps=0.5),
    batch(f32(4, 3), dynamic=N),
    batch(f32(2, 3, 4), dynamic={(0, 2): "l"}),
    batch(f32(1, 3, 2, 4, 3)),
    Case(aten.batch_norm.default, f32(2, 3, 4, 5), W, B, MEAN, VAR, False, 0.1, 1e-5, False,
         dynamic=NHW | CHANNELS),
    Case(aten.batch_norm.default, f32(5, 3), None, None, None, None, True, 0.1, 1e-5, False,
         dynamic={(0, 1): "c"}),
    batch(f16(2, 3, 4, 5), tolerance=HALF),
    Case(aten.batch_norm.default, f32(2, 3, 4, 5), None, None, MEAN, VAR, False, 0.1, 1e-5, True,
         constants=(3, 4)),
    Case(aten.batch_norm.default, f32(2, 3, 4, 5), W, B, MEAN, VAR, False, 0.1, 1e-5, False),
    Case(aten.batch_norm.default, f32(2, 3, 4, 5), W, B, None, None, True, 0.1, 1e-5, False,
         constants=(1, 2), dynamic=NHW),
    Case(aten.batch_norm.default, f32(5, 3), W, None, None, None, True, 0.1, 1e-5, False,
         constants=(1,)),
    Case(First(aten._native_batch_norm_legit_no_training.default), f32(2, 3, 4, 5), W, B, MEAN,
         VAR, 0.1, 1e-3, constants=(1, 2, 3, 4), dynamic=NHW),
    Case(aten.batch_norm.default, f32(2, 3, 4, 5), W, B, MEAN, VAR, True, 0.1, 1e-5, False,
         constants=(1, 2, 3, 4)).raises("training"),
    Case(aten.native_batch_norm.default, f32(2, 3, 4, 5), W, B, MEAN, VAR, False, 0.1, 1e-3,
         constants=(1, 2, 3, 4)).raises("saved mean"),
    Case(First(aten._native_batch_norm_legit.no_stats), f32(2, 3, 4, 5), W, B, True, 0.1, 1e-5,
         constants=(1, 2)),
    Case(First(aten._native_batch_norm_legit.no_stats), f32(1, 3, 20), W, None, True, 0.0, 1e-5,
         constants=(1,)),
    Case(First(aten._native_batch_norm_legit.no_stats), f32(1, 3, 20), None, None, True, 0.0,
         1e-8, dynamic={(0, 2): "l"}),
    Case(First(aten.native_batch_norm.default), f32(2, 3, 4, 5), W, B, MEAN, VAR, False, 0.1, 1e-3,
         constants=(1, 2, 3, 4)),
]  # fmt: skip

LAYER = [
    Case(aten.layer_norm.default, f32(2, 5, 8) * 3 + 1, [8], f32(8), f32(8, seed=1), 1e-5, False,
         constants=(2, 3), dynamic={(0, 0): "n", (0, 1): "l"}),
    Case(aten.layer_norm.default, f32(4, 8), [8], f32(8), f32(8, seed=1), 1e-12, constants=(2, 3)),
    Case(aten.layer_norm.default, f32(2, 3, 4, 8), [4, 8], f32(4, 8), f32(4, 8, seed=1), 1e-6,
         constants=(2, 3)),
    Case(aten.layer_norm.default, f32(2, 5, 8), [8], dynamic=N),
    Case(over_last, f32(2, 5, 8), 1, dynamic={(0, 2): "width"}),
    Case(over_last, f32(2, 5, 8), 2, dynamic=N | {(0, 1): "l", (0, 2): "width"}),
    Case(over_last, f32(2, 5, 8), 1, f32(8), dynamic={(0, 2): "width", (1, 0): "width"}),
    Case(aten.layer_norm.default, f32(2, 5, 8), [8], f32(8), constants=(2,)),
    Case(aten.layer_norm.default, f32(8), [8]),
    Case(aten.layer_norm.default, f16(2, 5, 8), [8], f16(8), f16(8, seed=1), constants=(2, 3),
         tolerance=HALF),
    Case(First(aten.native_layer_norm.default), f32(2, 5, 8), [8], f32(8), f32(8, seed=1), 1e-5,
         constants=(2, 3)),
    Case(aten.native_layer_norm.default, f32(2, 5, 8), [8], f32(8), f32(8, seed=1), 1e-5,
         constants=(2, 3)).raises("saved mean"),
    Case(aten.rms_norm.default, f32(2, 5, 8), [8], f32(8), 1e-5, constants=(2,),
         dynamic={(0, 1): "l"}),
    Case(aten.rms_norm.default, f32(2, 5, 8), [8], None, 1e-5),
    Case(aten.rms_norm.default, f32(2, 5, 4, 8) * 1e-3, [4, 8]),
    Case(aten.rms_norm.default, f16(2, 5, 8) * 1e-2, [8], f16(8), constants=(2,), tolerance=HALF),
    Case(aten.rms_norm.default, f16(2, 5, 8) * 2000, [8], f16(8), constants=(2,), tolerance=HALF),
    Case(aten._fused_rms_norm.default, f32(2, 5, 8), [8], f32(8), 1e-5, constants=(2,),
         dynamic={(0, 0): "n", (0, 1): "l"}),
    Case(aten._fused_rms_norm.default, f32(2, 5, 4, 8), [4, 8], None, None),
    Case(aten._fused_rms_norm.default, f16(2, 5, 8), [8], f16(8), 1e-6, constants=(2,),
         tolerance=HALF),
]  # fmt: skip

GROUP = [
    Case(aten.group_norm.default, f32(2, 6, 4, 5) + 2, 3, f32(6), f32(6, seed=1), 1e-5, False,
         constants=(2, 3), dynamic=NHW),
    Case(aten.group_norm.default, f32(2, 6, 5), 2, f32(6), f32(6, seed=1), 1e-6, constants=(2, 3)),
    Case(aten.group_norm.default, f32(2, 6, 4, 5), 1, f32(6), None, 1e-6, constants=(2,)),
    Case(aten.group_norm.default, f32(0, 6, 5), 2, f32(6), None, 1e-6, constants=(2,)),
    Case(aten.group_norm.default, f32(2, 6, 4, 5), 6, dynamic=N),
    Case(aten.group_norm.default, f32(2, 6, 4, 5), 3, f32(6), f32(6, seed=1)),
    Case(aten.group_norm.default, f32(2, 6, 5), 2, f32(6), dynamic=N),
    Case(aten.group_norm.default, f32(4, 6), 2, f32(6), f32(6, seed=1), constants=(2, 3)),
    Case(aten.group_norm.default, f32(1, 6, 2, 3, 4), 3, f32(6), f32(6, seed=1), constants=(2, 3)),
    Case(aten.group_norm.default, f16(2, 6, 4, 5), 3, f16(6), f16(6, seed=1), constants=(2, 3),
         tolerance=HALF),
    Case(First(aten.native_group_norm.default), f32(2, 6, 4, 5), f32(6), f32(6, seed=1), 2, 6, 20,
         3, 1e-5, constants=(1, 2)),
    Case(aten.instance_norm.default, f32(2, 3, 4, 5), None, None, None, None, True, 0.1, 1e-5,
         False, dynamic=NHW),
    Case(aten.instance_norm.default, f32(2, 3, 7), W, B, None, None, True, 0.1, 1e-5, False,
         constants=(1, 2)),
    Case(aten.instance_norm.default, f32(1, 3, 2, 4, 3), W, B, None, None, True, 0.1, 1e-5, False,
         constants=(1, 2)),
    Case(aten.instance_norm.default, f32(2, 3, 4, 5), None, None, MEAN, VAR, False, 0.1, 1e-5,
         False, constants=(3, 4)),
]  # fmt: skip

WEIGHT = [
    Case(aten._weight_norm.default, f32(4, 3, 5), f32(4, 1, 1)),
    Case(aten._weight_norm.default, f32(4, 3, 5), f32(1, 1, 5), 2),
    Case(aten._weight_norm.default, f32(4, 3), f32(1), -1),
    Case(aten._weight_norm_interface.default, f32(4, 3, 5), f32(4, 1, 1), 0),
]

CASES = BATCH + LAYER + GROUP + WEIGHT
