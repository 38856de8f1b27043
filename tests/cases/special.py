"""Rows of layers/special.py; where a function is 0 its rows are beside others of size 1."""

from __future__ import annotations

import math

import torch

from tests.cases.base import Case, f16, f32, i64

aten = torch.ops.aten

BATCH = {(0, 0): "batch"}
ABOVE = f32(6, 7, low=0.01, high=30)
BELOW = f32(6, 7, low=-20, high=0.5)
AROUND = torch.linspace(0.3, 3.2, 60)
LARGE = torch.tensor([50.0, 1e3, 1e6, 1e20, 3e36])
POLES = torch.tensor([0.0, -0.0, -1.0, -3.0, math.inf, -math.inf, math.nan, 1.0])
OPEN = torch.cat([f32(40, low=-0.999, high=0.999), torch.tensor([1 - 1e-6, -1 + 6e-8, 1e-12, 0.0])])
ENDS = torch.tensor([1.0, -1.0, 1.5, math.nan])
SHARE = torch.tensor([1e-30, 1e-12, 1e-6, 1e-3, 0.1, 0.4999, 0.5, 0.7, 0.99, 0.999999, 0.0, 1.0])
SPREAD = torch.cat([torch.linspace(-8, 9, 50), torch.tensor([-0.5, 0.5, 0.0])])
TAIL = torch.tensor([0.51, 1.0, 2.0, 4.0, 6.0, 9.0])


def logged(operator: object) -> object:
    """Values of very different size, compared by their logarithms."""

    def call(x: torch.Tensor) -> torch.Tensor:
        return operator(x).log()  # type: ignore[operator]

    return call


CASES = [
    Case(aten.lgamma.default, ABOVE, dynamic=BATCH),
    Case(aten.lgamma.default, AROUND, tolerance=4e-6),
    Case(aten.lgamma.default, 1 + torch.linspace(-1e-3, 1e-3, 9), tolerance=2e-6),
    Case(aten.lgamma.default, BELOW),
    Case(aten.lgamma.default, LARGE),
    Case(aten.lgamma.default, POLES),
    Case(aten.lgamma.default, i64(5, low=1)),
    Case(
        aten.lgamma.default,
        f16(3, 4).abs() + 2.5,
        tolerance=2e-3,
        gpu="TensorRT 8.6 computes float32 layers beside float16 ones in float16, which overflows",
    ),
    Case(aten.mvlgamma.default, ABOVE + 2, 3),
    Case(aten.digamma.default, ABOVE, dynamic=BATCH),
    Case(aten.digamma.default, AROUND),
    Case(aten.digamma.default, BELOW),
    Case(aten.digamma.default, LARGE),
    Case(aten.digamma.default, POLES),
    Case(aten.digamma.default, i64(5, low=1)),
    *(Case(aten.polygamma.default, n, AROUND, tolerance=2e-5) for n in range(5)),
    *(Case(logged(lambda x, n=n: aten.polygamma.default(n, x).abs()), ABOVE) for n in (1, 2, 5)),
    Case(aten.polygamma.default, 2, f32(6, 7, low=-4.9, high=-0.1), tolerance=3e-5),
    Case(aten.polygamma.default, 1, i64(5, low=1)),
    Case(aten.erfinv.default, OPEN),
    Case(aten.erfinv.default, f32(3, 4, low=-0.9, high=0.9), dynamic=BATCH),
    Case(aten.erfinv.default, ENDS),
    Case(aten.erfinv.default, i64(5, low=-1, high=2)),
    Case(aten.special_ndtri.default, SHARE),
    Case(aten.special_ndtri.default, torch.tensor([-0.1, 1.1, math.nan])),
    Case(logged(aten.special_erfcx.default), SPREAD, tolerance=2e-6),
    Case(logged(aten.erfc.default), TAIL, tolerance=2e-6),
    Case(aten.erfc.default, SPREAD),
    Case(aten.erfc.default, f32(3, 4), dynamic=BATCH),
    Case(aten.erfc.default, i64(5)),
    Case(torch.special.log_ndtr, torch.linspace(-12, 6, 50)),
    Case(logged(aten.i0.default), torch.cat([SPREAD, torch.tensor([30.0, 80.0])])),
    Case(aten.special_i0e.default, SPREAD),
    Case(logged(aten.special_i1.default), SPREAD.abs() + 0.1),
    Case(aten.special_i1.default, torch.linspace(-3, 3, 9)),
    Case(aten.special_i1e.default, SPREAD),
    Case(aten.i0.default, i64(5)),
    Case(aten.special_gammaln.default, ABOVE),
    Case(aten.special_digamma.default, ABOVE),
    Case(aten.special_psi.default, ABOVE),
    Case(aten.special_polygamma.default, 1, ABOVE),
    Case(aten.special_erfc.default, TAIL, tolerance=4e-6),
    Case(aten.special_erfcx.default, TAIL, tolerance=4e-6),
    Case(aten.special_erfinv.default, OPEN),
    Case(aten.special_i0.default, f32(40, low=-9, high=9)),
    Case(aten.special_modified_bessel_i0.default, f32(40, low=-9, high=9)),
    Case(aten.special_modified_bessel_i1.default, f32(40, low=-9, high=9)),
]
