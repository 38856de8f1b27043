"""Rows of ``layers/resize.py``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from tests.cases.base import Case, byte, f16, f32, i64

aten = torch.ops.aten
X = {1: f32(2, 3, 7), 2: f32(2, 3, 5, 7), 3: f32(1, 2, 4, 5, 7)}
NEAREST = {
    1: (aten.upsample_nearest1d, aten._upsample_nearest_exact1d),
    2: (aten.upsample_nearest2d, aten._upsample_nearest_exact2d),
    3: (aten.upsample_nearest3d, aten._upsample_nearest_exact3d),
}
LINEAR = {
    1: (aten.upsample_linear1d,),
    2: (
        aten.upsample_bilinear2d,
        aten.upsample_bicubic2d,
        aten._upsample_bilinear2d_aa,
        aten._upsample_bicubic2d_aa,
    ),
    3: (aten.upsample_trilinear3d,),
}
LARGER, SMALLER = [9, 11, 18], [1, 2, 4]
# Exact ratios, and ones that 4, 5 and 7 are not multiples of.
FACTORS = ([2.0, 3.0, 2.0], [1.5, 1.7, 2.3], [0.5, 0.7, 0.4])
BOTH: dict[tuple[int, int], str] = {(0, 2): "h", (0, 3): "w"}


def forms(operator: Any, n: int, corners: tuple[bool, ...]) -> Iterator[Case]:
    """By size and by scale, up and down, in the form that keeps both and in the core form."""
    for size in (LARGER[:n], SMALLER[:n]):
        yield Case(operator.vec, X[n], size, *corners, None)
        yield Case(operator.default, X[n], size, *corners)
    for factors in (f[-n:] for f in FACTORS):
        size = [int(s * f) for s, f in zip(X[n].shape[2:], factors, strict=True)]
        yield Case(operator.vec, X[n], None, *corners, factors)
        yield Case(operator.default, X[n], size, *corners, *factors)


def of_bytes(case: Case) -> Case:
    """The row with bytes, which are equal or not: there is no tolerance in between."""
    return Case(case.operator, byte(2, 3, 5, 7), *case.args[1:], tolerance=1e-7)


CASES = [
    *(case for n, ops in NEAREST.items() for op in ops for case in forms(op, n, ())),
    *(
        case
        for n, ops in LINEAR.items()
        for op in ops
        for corners in (False, True)
        for case in forms(op, n, (corners,))
    ),
    # The size stays, the given scale does not.
    Case(aten.upsample_nearest2d.default, X[2], [5, 7], 1.1, 1.1),
    Case(aten.upsample_nearest2d.vec, f16(1, 2, 4, 4), None, [2.0, 2.0]),
    Case(aten.upsample_nearest2d.vec, i64(1, 2, 4, 4, low=0, high=255).byte(), None, [2.0, 0.5]),
    *(
        of_bytes(case)
        for op in LINEAR[2]
        for corners in (False, True)
        for case in forms(op, 2, (corners,))
    ),
    Case(
        aten.upsample_bilinear2d.vec, byte(2, 6, 9, 8), [20, 3], False, None, dynamic={(0, 0): "n"}
    ),
    Case(aten._upsample_bicubic2d_aa.vec, byte(1, 3, 40, 31), [5, 31], False, None),
    Case(aten.upsample_bilinear2d.vec, byte(1, 1, 1, 1), [3, 3], True, None),
    Case(aten.upsample_trilinear3d.vec, byte(1, 1, 2, 2, 2), [3, 3, 3], False, None).raises(
        "interpolates floats, and bytes over two axes"
    ),
    Case(aten.upsample_bilinear2d.vec, f16(1, 2, 4, 4), [7, 6], False, None, tolerance=2e-3),
    Case(aten.upsample_bilinear2d.vec, f16(1, 2, 5, 5), None, False, [1.5, 1.5], tolerance=2e-3),
    Case(aten.upsample_nearest2d.vec, X[2], None, [2.0, 3.0], dynamic=BOTH),
    Case(aten.upsample_nearest2d.vec, X[2], [10, 9], None, dynamic=BOTH),
    Case(aten._upsample_nearest_exact2d.vec, X[2], None, [2.0, 1.0], dynamic=BOTH),
    Case(aten.upsample_bilinear2d.vec, X[2], None, False, [2.0, 4.0], dynamic=BOTH),
    Case(aten.upsample_bilinear2d.vec, X[2], None, True, [1.5, 2.5], dynamic=BOTH),
    Case(aten.upsample_bicubic2d.vec, X[2], [9, 4], False, None, dynamic={(0, 0): "n", **BOTH}),
    Case(aten._upsample_bilinear2d_aa.vec, X[2], [3, 4], False, None, dynamic={(0, 0): "n"}),
    # Sizes that change, and with them what PyTorch computes from sizes or from a scale.
    *(Case(operator.vec, X[2], None, [1.5, 0.7], dynamic=BOTH) for operator in NEAREST[2]),
    *(
        Case(operator.vec, X[2], size, corners, factors, dynamic=BOTH)
        for operator in LINEAR[2]
        for corners in (False, True)
        for size, factors in (([9, 4], None), (None, [1.5, 0.7]))
    ),
    Case(aten.upsample_bilinear2d.vec, f32(0, 3, 4, 5), [8, 3], False, None),
    Case(aten.upsample_nearest2d.vec, f32(0, 3, 4, 5), None, [2.0, 2.0]),
]
