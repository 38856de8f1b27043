"""Rows of the linear layers and products."""

from __future__ import annotations

import torch

from tests.cases.base import Case, f16, f32, i64

aten = torch.ops.aten

N = {(0, 0): "n"}


def transposed_first(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """A linear layer of rows that are not where they lie in memory."""
    return torch.nn.functional.linear(x.transpose(0, 1), weight, bias)


CASES = [
    Case(aten.linear.default, f32(4, 6), f32(5, 6), constants=(1,), dynamic=N),
    Case(aten.linear.default, f32(4, 6), f32(5, 6), f32(5), constants=(1, 2)),
    Case(
        aten.linear.default, f32(2, 3, 6), f32(5, 6), f32(5), constants=(1, 2),
        dynamic={(0, 0): "n", (0, 1): "l"},
    ),
    Case(transposed_first, f32(2, 3, 6), f32(5, 6), f32(5), constants=(1, 2), dynamic=N),
    Case(aten.linear.default, f32(2, 3, 4, 6), f32(5, 6), None, constants=(1,)),
    Case(aten.linear.default, f32(6), f32(5, 6), f32(5), constants=(1, 2)),
    Case(aten.linear.default, f32(2, 6), f32(6), constants=(1,)),
    Case(aten.linear.default, f32(2, 3, 6), f32(5, 6), f32(5)),
    Case(aten.linear.default, f16(4, 6), f16(5, 6), f16(5), constants=(1, 2), tolerance=2e-3),
    Case(aten.addmm.default, f32(5), f32(4, 6), f32(6, 5), constants=(0, 2), dynamic={(0, 0): "m"}),
    Case(aten.addmm.default, f32(4, 5), f32(4, 6), f32(6, 5), kwargs={"beta": 0.5, "alpha": 2}),
    Case(aten.addmm.default, f32(5), f32(4, 6), f32(6, 5), kwargs={"beta": 0, "alpha": -1.5}),
    Case(aten.baddbmm.default, f32(2, 4, 5), f32(2, 4, 6), f32(2, 6, 5),
         kwargs={"beta": 0.5, "alpha": 0.25}),
    Case(aten.baddbmm.default, f32(1, 5), f32(2, 4, 6), f32(2, 6, 5), kwargs={"beta": 0}),
    Case(aten.baddbmm.default, f16(2, 4, 5), f16(2, 4, 6) * 300, f16(2, 6, 5) * 300,
         kwargs={"alpha": 0.01}, tolerance=2e-3),
    Case(aten.addbmm.default, f32(4, 5), f32(2, 4, 6), f32(2, 6, 5), kwargs={"alpha": 2}),
    Case(aten.addmv.default, f32(4), f32(4, 6), f32(6), kwargs={"beta": 2, "alpha": 0.5}),
    Case(aten.mm.default, f32(4, 6), f32(6, 5), dynamic=N),
    Case(aten.mm.default, i64(4, 6), i64(6, 5), dynamic=N),
    Case(aten.addmm.default, i64(4, 5), i64(4, 6), i64(6, 5), kwargs={"alpha": 2}),
    Case(aten.addmv.default, i64(4), i64(4, 6), i64(6), kwargs={"alpha": 2.7, "beta": 0.2}),
    Case(aten.matmul.default, i64(2, 4, 6), i64(6)),
    Case(aten.matmul.default, i64(6), i64(3, 6, 2)),
    Case(aten.matmul.default, i64(6), i64(6)),
    Case(aten.bmm.default, i64(2, 3, 6).int(), i64(2, 6, 5).int()),
    Case(aten.linear.default, i64(2, 3, 6), i64(5, 6), i64(5), constants=(1,)),
    Case(aten.bmm.default, f32(2, 4, 6), f32(2, 6, 5), dynamic={(0, 1): "l"}),
    Case(aten.matmul.default, f32(4, 6), f32(6, 5)),
    Case(aten.matmul.default, f32(2, 3, 4, 6), f32(3, 6, 5)),
    Case(aten.matmul.default, f32(2, 3, 4, 6), f32(6, 5), constants=(1,), dynamic={(0, 2): "l"}),
    Case(aten.matmul.default, f32(2, 1, 4, 6), f32(1, 3, 6, 5)),
    Case(aten.matmul.default, f32(6), f32(6)),
    Case(aten.matmul.default, f32(6), f32(6, 5)),
    Case(aten.matmul.default, f32(4, 6), f32(6)),
    Case(aten.matmul.default, f32(2, 3, 4, 6), f32(6)),
    Case(aten.matmul.default, f32(6), f32(2, 3, 6, 5)),
    Case(aten.mv.default, f32(4, 6), f32(6), dynamic=N),
    Case(aten.dot.default, f32(6), f32(6)),
    Case(aten.outer.default, f32(4), f32(5)),
    Case(aten.ger.default, f32(4), f32(5)),
    Case(aten.bilinear.default, f32(4, 3), f32(4, 6), f32(5, 3, 6), f32(5), constants=(2, 3)),
    Case(aten.bilinear.default, f32(2, 4, 3), f32(2, 4, 6), f32(5, 3, 6), constants=(2,)),
]  # fmt: skip
