"""Engines in int8: the answers of the reference, and layers that TensorRT says are int8."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests import test_export_quantization as exported
from tests.cases.base import f32
from tests.models.trained import Trained

pytestmark = pytest.mark.gpu


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(8, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()
        )
        self.head = nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.body(x).mean((2, 3)))
        return y


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_an_engine_has_the_references_rounding(precision: str | None) -> None:
    torch.manual_seed(0)
    model, x = Small().eval(), f32(4, 8, 16, 16)
    network = trtdsl.trace(model, (x,), precision=precision)
    quantized = trtdsl.quantize(network, [f32(4, 8, 16, 16, seed=s) for s in range(1, 4)])
    engine = quantized.build()
    expected, answer = quantized.evaluate(x), engine(x.cuda()).cpu()
    # Sums in another order, or of 16 bits, move single values by a step of the next layer.
    assert (answer - expected).norm() / expected.norm() <= 1e-2
    assert (answer - model(x)).norm() / model(x).norm() <= 5e-2
    outputs = [output for layer in engine.inspect() for output in layer["Outputs"]]
    assert any("Int8" in str(output.get("Format/Datatype")) for output in outputs)


class Part(nn.Module):
    """One of a trained model's answers."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.whole, self.index = Trained(), index

    def forward(self, x: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.whole(x, image)[self.index]
        return y


# All three in one network, in fp16, 8.6 was seen not to build: an internal error that names none.
@pytest.mark.parametrize("index", [0, 1, 2], ids=["linear", "cut", "transposed"])
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_weights_trained_with_scales_by_channel(precision: str | None, index: int) -> None:
    model, inputs = Part(index).eval(), (f32(2, 5, 8), f32(1, 3, 9, 9))
    engine = trtdsl.convert(model, inputs, backend="tensorrt", precision=precision)
    answer, expected = engine(*(x.cuda() for x in inputs)).cpu(), model(*inputs)
    assert (answer - expected).norm() / expected.norm() <= 1e-2


def test_pairs_of_export_quantization() -> None:
    model, x = exported.Converted().eval(), exported.X
    engine = trtdsl.convert(model, (x,), backend="tensorrt")
    answer, expected = engine(x.cuda()).cpu(), model(x)
    assert (answer - expected).norm() / expected.norm() <= 1e-2
    outputs = [output for layer in engine.inspect() for output in layer["Outputs"]]
    assert any("Int8" in str(output.get("Format/Datatype")) for output in outputs)
