"""What `LayerNorm` and `Gelu` refuse, leave to layers, and compute in bfloat16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.cases.base import f32
from tests.plugins.emulation import COMPILER, emulate
from tests.plugins.shipped import CASES, PluginCase
from tests.test_ir import assert_close
from trtdsl.errors import ShapeError
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network
from trtdsl.plugins.gelu import Gelu
from trtdsl.plugins.layer_norm import LayerNorm
from trtdsl.types import DType, TensorType

BF16 = 8e-3
"""A rounding to bfloat16, of the largest magnitude."""

LAYER = LayerNorm(width=48)
SUMMED = replace(LAYER, summed=True)
OURS = [c for c in CASES if isinstance(c.plugin, LayerNorm | Gelu)]

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")


def rows(*shape: Any, dtype: DType = DType.FLOAT16) -> TensorType:
    return TensorType(dtype, shape)


X, ROW = rows(2, 9, 48), rows(1, 1, 48)

REFUSED: dict[str, tuple[Plugin, tuple[TensorType, ...], str]] = {
    "another width": (LAYER, (rows(2, 9, 40), ROW, ROW), "takes rows of 48"),
    "no axis": (LAYER, (rows(), ROW, ROW), "takes rows of 48"),
    "a flat scale": (LAYER, (X, rows(48), rows(48)), "takes scale, bias and offset"),
    "two dtypes": (LAYER, (X, ROW, rows(1, 1, 48, dtype=DType.FLOAT32)), "floats of one dtype"),
    "no bias": (LAYER, (X, ROW), "takes 3 inputs"),
    "no summand": (SUMMED, (X, ROW, ROW), "takes 4 inputs"),
    "a summand of one row": (SUMMED, (X, ROW, ROW, ROW), "adds another tensor like x"),
    "an offset of each": (replace(SUMMED, offset=True), (X, ROW, ROW, X, X), "takes scale, bias"),
    "a bias of each": (Gelu(), (X, X), "takes a bias"),
    "two biases": (Gelu(), (X, ROW, ROW), "takes rows and a bias"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    layer, inputs, message = REFUSED[name]
    with pytest.raises(ShapeError, match=message):
        layer.infer(*inputs)


LEFT: dict[str, tuple[Plugin, TensorType]] = {
    "float32": (LAYER, rows(2, 9, 48, dtype=DType.FLOAT32)),
    "odd rows": (replace(LAYER, width=44), rows(2, 9, 44)),
    "wide rows": (replace(LAYER, width=8200), rows(2, 8200)),
    "gelu of float32": (Gelu(), rows(2, 48, dtype=DType.FLOAT32)),
    "gelu of odd rows": (Gelu(), rows(8, 44)),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_the_kernel_does_not_take_is_left_to_layers(name: str) -> None:
    layer, x = LEFT[name]
    assert LAYER.takes(X)
    assert Gelu().takes(X)
    assert not layer.takes(x)


@pytest.mark.parametrize("case", OURS, ids=str)
def test_the_layers_that_it_stands_for_compute_the_same(case: PluginCase) -> None:
    inputs = [x.float() for x in case.inputs]
    net = Network()
    given = [net.input(f"x{i}", x.shape) for i, x in enumerate(inputs)]
    made, expected = case.plugin.expand(*given), case.plugin.evaluate(*inputs)
    for i, y in enumerate(made if isinstance(made, tuple) else (made,)):
        net.output(y, f"y{i}")
    answers = net.evaluate(*inputs)
    pairs = zip(*(t if isinstance(t, tuple) else (t,) for t in (answers, expected)), strict=True)
    for actual, wanted in pairs:
        assert_close(actual, wanted, 2e-6)


@needs_compiler
@pytest.mark.parametrize("width", [48, 2056])
def test_bfloat16(width: int) -> None:
    layer = LayerNorm(width=width, summed=True, offset=True, keeps_sum=True)
    shapes = ((3, width), (1, width), (1, width), (3, width), (1, width))
    inputs = tuple(f32(*shape, seed=i).bfloat16() for i, shape in enumerate(shapes))
    y, total = emulate(layer, inputs)
    expected = layer.evaluate(*(x.float() for x in inputs))
    for actual, wanted in zip((y, total), expected, strict=True):
        assert_close(actual.float(), wanted, BF16)


@needs_compiler
def test_a_row_far_from_0_keeps_its_variance() -> None:
    """The mean of squares less the square of the mean would have no digit left."""
    x = (f32(4, 48) + 1000).half()
    unit, zero = torch.ones(1, 48).half(), torch.zeros(1, 48).half()
    (y,) = emulate(LAYER, (x, unit, zero))
    expected = torch.nn.functional.layer_norm(x.double(), (48,))
    assert_close(y.double(), expected, 2e-3)


@needs_compiler
@pytest.mark.parametrize(("dtype", "steps"), [(torch.float16, 2), (torch.bfloat16, 1)])
def test_every_gelu_is_right_to_its_last_digits(dtype: torch.dtype, steps: float) -> None:
    """Of float16's numbers below 0 too, where one less than 1 plus erf has no digits."""
    numbers = torch.arange(-(2**15), 2**15, 1).short().view(dtype)
    x = numbers[numbers.isfinite() & (numbers > -6)].sort().values
    x = x[: x.numel() // 8 * 8].reshape(-1, 8)
    (y,) = emulate(Gelu(), (x,))
    wide = x.double()
    expected = 0.5 * wide * torch.special.erfc(-wide / 2**0.5)
    _, exponent = torch.frexp(expected)
    finfo = torch.finfo(dtype)
    step = finfo.eps * 2.0 ** (exponent - 1).double()
    least = torch.tensor(finfo.tiny * finfo.eps).double()
    assert ((y.double() - expected).abs() <= steps * torch.maximum(step, least)).all()


@needs_compiler
def test_infinities_and_nan() -> None:
    x = torch.tensor([[float("inf"), float("nan"), 0.0, -7.0, 1.0, 2.0, 3.0, 60000.0]]).half()
    (y,) = emulate(Gelu(), (x,))
    assert y[0, 0] == float("inf")
    assert y[0, 1].isnan()
    assert y[0, 2] == 0
    assert y[0, 7] == 60000
