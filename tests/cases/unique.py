"""Rows of ``layers/unique.py``."""

from __future__ import annotations

from typing import Any

import torch

from tests.cases.base import Case, boolean, f32, i32, i64

ALONE = "its size depends on values: tests/gpu/test_data_dependent.py"
aten = torch.ops.aten
VECTOR, MATRIX = {(0, 0): "n"}, {(0, 0): "n", (0, 1): "m"}
NAN = float("nan")
ROWS = torch.tensor([[1, 2], [1, 2], [0, 3], [1, 0], [0, 3], [0, 3], [-1, 9]])


def row(operator: Any, *args: Any, **options: Any) -> Case:
    return Case(operator, *args, gpu=ALONE, **options)


CASES = [
    row(aten._unique2.default, i64(12, low=0, high=5), True, True, True, dynamic=VECTOR),
    row(aten._unique2.default, i64(3, 4, low=0, high=5), True, True, dynamic=MATRIX),
    row(aten._unique2.default, f32(7).round(), True, False, True),
    row(aten._unique2.default, torch.tensor([2.0, NAN, 1.0, NAN, 2.0]), True, True, True),
    row(aten._unique2.default, boolean(6), True, True, True),
    row(aten._unique2.default, torch.full((4,), 3), True, True, True),
    row(aten._unique2.default, torch.tensor(3), True, True, True),
    row(aten.unique_consecutive.default, i64(12, low=0, high=3), True, True, dynamic=VECTOR),
    row(aten.unique_consecutive.default, i32(3, 4, low=0, high=2), True, True, dynamic=MATRIX),
    row(aten.unique_consecutive.default, boolean(9)),
    row(aten.unique_consecutive.default, f32(1), True, True),
    row(aten.unique_consecutive.default, ROWS, True, True, 0, dynamic=VECTOR),
    row(aten.unique_consecutive.default, ROWS.T.contiguous(), False, True, 1),
    row(torch.unique_consecutive, ROWS.float(), kwargs={"dim": 1}),
    row(torch.unique, ROWS, kwargs={"dim": 0}),
    row(aten.unique_dim.default, ROWS, 0, True, True, True, dynamic=VECTOR),
    row(aten.unique_dim.default, i64(2, 8, 2, low=0, high=2), 1, dynamic={(0, 1): "n"}),
    row(aten.unique_dim.default, boolean(9, 2), 0),
    row(aten.unique_dim.default, f32(3, 2), -1),
    Case(torch.unique_consecutive, ROWS, kwargs={"dim": -1}).raises("another shape"),
    Case(aten.unique_dim.default, f32(4000, 20), 0).raises(r"the order of the rows(.|\n)*fix:"),
]
