"""Sizes that an engine computes as Python does: products in float64, roots, rounded numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.export import Dim

import trtdsl
from tests import test_infinities as infinities
from tests import test_ir as ir
from tests import test_symbolic_numbers as numbers
from tests.cases.base import f32
from tests.gpu.test_data_dependent import traced
from trtdsl.build import BuildOptions, build

pytestmark = pytest.mark.gpu

OPTIONS = BuildOptions(optimization_level=0)


@pytest.mark.parametrize("body", numbers.BODIES)
def test_numbers_made_of_sizes(body: str) -> None:
    model = numbers.Uses(numbers.BODIES[body]).eval()
    shapes = {"x": {2: Dim("height", min=4, max=40)}}
    network = traced(model, (f32(2, 2, 8, 9),), dynamic_shapes=shapes)
    engine = build(network, OPTIONS)
    for height in (8, 5, 33, 40):
        x = f32(2, 2, height, 9, seed=height)
        ir.assert_close(engine(x.cuda()).cpu(), model(x), 1e-3)


def test_sizes_looked_up_in_a_table() -> None:
    def crop(x: torch.Tensor) -> torch.Tensor:
        return x[:, : int(x.shape[1] * 0.7)]  # of 130, 90: 0.7 * 130 is 90.99999999999999

    model = numbers.Uses(crop).eval()
    shapes = {"x": {1: Dim("n", min=2, max=256)}}
    network = traced(model, (f32(2, 64),), dynamic_shapes=shapes)
    engine = build(network, OPTIONS)
    for n in (2, 64, 130, 256):
        x = f32(2, n, seed=n)
        ir.assert_close(engine(x.cuda()).cpu(), model(x), 1e-6)


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_infinities_stay_infinite(precision: str | None) -> None:
    model = infinities.Masked().eval()
    network = trtdsl.trace(
        model, (f32(6, 4),), dynamic_shapes=infinities.SIZES, precision=precision
    )
    engine = build(network, replace(OPTIONS, precision=precision))
    for rows in (6, 1, 40):
        x = f32(rows, 4, seed=rows).half().float()
        for y, wanted in zip(engine(x.cuda()), model(x), strict=True):
            torch.testing.assert_close(y.cpu(), wanted, rtol=0, atol=1e-3, equal_nan=True)
            assert y.isinf().any()
