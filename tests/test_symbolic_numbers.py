"""Python's numbers of sizes that vary: ``int(0.6 * h)`` stays one, and engines compute it."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable

import pytest
import sympy
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_lowering import lowered
from trtdsl.types import DimRange
from trtdsl.whole_sizes import in_integers, in_table


class Uses(nn.Module):
    def __init__(self, body: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


BODIES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "product": lambda x: F.interpolate(x, size=(int(x.shape[2] * 0.6), 5), mode="bilinear"),
    "quotient": lambda x: x[:, :, : int(x.shape[2] / 2)],
    "size": lambda x: x.reshape(x.shape[0], 2, int(x.shape[2]) * int(x.shape[3])),
    "float": lambda x: x * (float(x.shape[2]) / x.shape[3]) ** 0.5,
    "ceiling": lambda x: x[:, :, : int(math.ceil(x.shape[2] * 0.3))],  # noqa: RUF046
    "round": lambda x: x[:, :, : round(x.shape[2] * 0.5)],
    "root": lambda x: x.flatten(2)[:, :, : int(x.shape[2] ** 0.5)],
    "class": lambda x: x[:, :, : int(x.shape[2] / 2)] if isinstance(3, int) else x,
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("factor", [1, 8])
def test_numbers_made_of_sizes_vary_with_them(body: str, factor: int) -> None:
    model = Uses(BODIES[body]).eval()
    height = Dim("height", min=4, max=40)
    inputs = f32(2, 2, 8 * factor, 9)
    shapes = {"x": {2: height if factor == 1 else factor * height}}
    network = trtdsl.trace(model, (inputs,), dynamic_shapes=shapes)
    for n in (8, 5, 33, 40):
        x = f32(2, 2, factor * n, 9, seed=n)
        torch.testing.assert_close(network.evaluate(x), model(x), atol=1e-4, rtol=0)
    assert lowered(network, standin.VERSIONS[0]).created
    assert "int" not in globals()
    assert int is builtins.int


def test_a_size_may_become_one() -> None:
    model = Uses(BODIES["quotient"]).eval()
    shapes = {"x": {2: Dim("height", min=2, max=40)}}
    network = trtdsl.trace(model, (f32(2, 2, 8, 9),), dynamic_shapes=shapes)
    for n in (2, 3, 8):
        x = f32(2, 2, n, 9)
        torch.testing.assert_close(network.evaluate(x), model(x))


def test_a_size_that_torch_export_fixed_is_refused() -> None:
    def crop(x: torch.Tensor) -> torch.Tensor:
        size = x.shape[2]
        return x[:, :, : 2 * size // 3] if size * 0.3 > 5 else x

    height = Dim("height", min=1, max=40)
    with pytest.raises(trtdsl.ConversionError, match="height = 2 are in the ranges"):
        trtdsl.trace(Uses(crop).eval(), (f32(2, 2, 24, 9),), dynamic_shapes={"x": {2: 8 * height}})


N = sympy.Symbol("n", integer=True, positive=True)
RANGES = {"n": DimRange(min=1, opt=64, max=2000)}


@pytest.mark.parametrize("factor", [0.6, 1.3, 1 / 3, 0.25, 2.2])
def test_a_product_in_float64_is_a_quotient_of_small_integers(factor: float) -> None:
    size = in_integers(sympy.floor(sympy.Float(factor) * N), RANGES)
    assert not size.has(sympy.Float)
    assert all(max(abs(a.p), a.q) < 10**4 for a in size.atoms(sympy.Rational))
    for n in range(1, 2001):
        assert int(size.subs(N, n)) == math.floor(factor * n)


def test_a_product_whose_rounding_no_quotient_has_is_looked_up() -> None:
    factor = 0.7  # 0.7 * 130 is 90.99999999999999
    size = sympy.floor(sympy.Float(factor) * N)
    assert in_integers(size, RANGES) == size
    found = in_table(size, RANGES)
    assert found is not None
    assert found[:2] == (N, 1)
    assert found[2] == [math.floor(factor * n) for n in range(1, 2001)]
