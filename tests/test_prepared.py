"""What TensorRT 8.6 is given of whole models: other layers, the same answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch._higher_order_ops.scan import scan

import trtdsl
from tests import standin, test_zoo
from tests.cases.base import f32
from tests.test_infinities import infinite_constants
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.repeat import Repeat
from trtdsl.network import Network
from trtdsl.passes.prepared import prepared_for

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

# Every pass has work in some of them: parts, rows, masks, roots of squares, integers, GELUs.
NAMES = (
    "bert", "gpt2", "gpt_neox", "llama", "gemma", "mamba", "t5_encoder", "deberta_v2", "vit",
    "beit", "dinov2", "swinv2", "clip", "whisper_encoder", "wav2vec2", "detr",
)  # fmt: skip


def prepared(network: Network) -> Network:
    return prepared_for(network, standin.load(standin.VERSIONS[0]))


def traced(name: str, precision: str | None = None) -> tuple[test_zoo.Example, Network]:
    """A small model at the sizes of its first call, none of which vary."""
    example = test_zoo.zoo.SMALL[name].build()
    args, kwargs = example.calls[0]
    return example, trtdsl.trace(example.model, args, kwargs, precision=precision)


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_stay(name: str) -> None:
    example, network = traced(name)
    args, kwargs = example.calls[0]
    with torch.no_grad():
        expected = test_zoo.leaves(example.model(*args, **kwargs))
    answers = test_zoo.leaves(prepared(network).evaluate(*args, **kwargs))
    errors = [test_zoo.error(*pair) for pair in zip(answers, expected, strict=True)]
    assert max(errors) <= 1e-4


def test_gpt2_becomes_products_of_matrices() -> None:
    """TensorRT 8.6 was seen to make the fewest kernels of six products and two norms a block."""
    _, network = traced("gpt2", "fp16")
    ready = prepared(network)
    moving = [op for op in ready.operations if not op.outputs[0].is_constant]
    products = [op for op in moving if isinstance(op.layer, MatrixMultiply)]
    linear = [op for op in products if op.inputs[1].is_constant]
    norms = [op for op in moving if isinstance(op.layer, Normalization)]
    assert (len(linear), len(products)) == (2 * 6 + 1, 2 * 8 + 1)
    assert len(norms) == 2 * 2 + 1
    assert {op.outputs[0].rank for op in (*linear[:-1], *norms[:-1])} == {2}


class Scanned(nn.Module):
    """A step with a turned product in a sum, a root of squares of halves, and an infinity."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = (self.a(x.mT) + self.b(state)).half().float()
        norm = y / y.square().sum(-1, keepdim=True).sqrt()
        return norm, norm.masked_fill(norm > 0.5, -torch.inf)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return scan(self.step, torch.zeros(x.shape[2], 4), x)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_loops_are_prepared_too() -> None:
    torch.manual_seed(0)
    model, x = Scanned().eval(), f32(40, 4, 3)
    length, rows = (torch.export.Dim(name, min=1, max=64) for name in ("length", "rows"))
    network = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: length, 2: rows}})
    ready = prepared(network)
    (loop,) = [op for op in ready.operations if isinstance(op.layer, Repeat)]
    assert loop.name == "repeat"
    layers = [op.layer for op in loop.layer.body.operations]
    assert layers.count(Unary(op=UnaryOperation.NEG)) == 1
    assert layers.count(Unary(op=UnaryOperation.ABS)) == 1
    assert infinite_constants(loop.layer.body) == []
    for given in (x, f32(3, 4, 1, seed=1)):
        for ours, wanted in zip(ready.evaluate(given), model(given), strict=True):
            torch.testing.assert_close(ours, wanted, rtol=1e-3, atol=1e-3)
