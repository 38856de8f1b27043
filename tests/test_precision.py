"""``trtdsl.passes.precision``: fp16 and bf16 networks, type by type, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import f32, i64
from trtdsl.errors import ConversionError
from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Cast
from trtdsl.ir.convolution import Convolution
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.plugin import Plugin
from trtdsl.ir.reduce import Reduce
from trtdsl.ir.slice import Slice
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Network
from trtdsl.passes.precision import to_precision
from trtdsl.plugins.suppression import Suppression
from trtdsl.types import DType, TensorType

HALVES = {"fp16": (DType.FLOAT16, 5e-3), "bf16": (DType.BFLOAT16, 4e-2)}
"""The dtype, and the largest error over the largest answer: some 4 units in its last place."""


class Net(nn.Module):
    """A convolution, a norm, attention with a mask and a head: floats, integers and bools."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor, valid: torch.Tensor) -> dict[str, torch.Tensor]:
        y = F.relu(self.conv(x)).flatten(2).transpose(1, 2)
        y = self.norm(y)
        scores = y @ y.transpose(1, 2) / 8
        lowest = torch.finfo(torch.float32).min
        scores = scores.masked_fill(valid[:, None, :] == 0, lowest)
        y = torch.softmax(scores, -1) @ y
        logits = self.head(y.mean(1))
        return {"logits": logits, "best": logits.argmax(-1), "scores": scores.clamp(-10, 10)}


INPUTS = (f32(2, 3, 4, 4), i64(2, 16, low=0, high=2))


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def layers(network: Network, kind: type[Layer]) -> list[Any]:
    return [op for op in network.operations if isinstance(op.layer, kind)]


@pytest.mark.parametrize("precision", HALVES)
def test_every_tensor_has_its_dtype(model: nn.Module, precision: str) -> None:
    half, _ = HALVES[precision]
    network = trtdsl.trace(model, INPUTS, precision=precision)
    assert [x.dtype for x in network.inputs] == [DType.FLOAT32, DType.INT64]
    assert [y.dtype for y in network.outputs] == [DType.FLOAT32, DType.INT64, DType.FLOAT32]
    for kind in (Convolution, MatrixMultiply):
        found = layers(network, kind)
        assert found
        for op in found:
            assert {x.dtype for x in (*op.inputs, *op.outputs)} == {half}, op
    for kind in (Normalization, SoftMax, Reduce):
        found = layers(network, kind)
        assert found, kind
        for op in found:
            assert {x.dtype for x in (*op.inputs, *op.outputs)} == {DType.FLOAT32}, op
    for op in network.operations:
        floats = {x.dtype for x in op.inputs if x.dtype.is_float}
        assert isinstance(op.layer, Cast) or len(floats) <= 1, op


@pytest.mark.parametrize("precision", HALVES)
def test_answers_are_close_to_pytorchs_float32(model: nn.Module, precision: str) -> None:
    _, tolerance = HALVES[precision]
    network = trtdsl.trace(model, INPUTS, precision=precision)
    for seed in range(3):
        inputs = (f32(2, 3, 4, 4, seed=seed), i64(2, 16, low=0, high=2, seed=seed))
        expected, actual = model(*inputs), network.evaluate(*inputs)
        for name in ("logits", "scores"):
            assert actual[name].isfinite().all()
            error = (actual[name] - expected[name]).abs().max() / expected[name].abs().max()
            assert 0 < error <= tolerance, (name, float(error))


def test_float32_words_change_nothing(model: nn.Module) -> None:
    network = trtdsl.trace(model, INPUTS)
    for precision in (None, "fp32", "tf32"):
        assert to_precision(network, precision) is network
    for wrong in ("FP16", "int8", "half"):
        with pytest.raises(ConversionError, match=f"not '{wrong}'"):
            to_precision(network, wrong)


def test_names_and_places_survive(model: nn.Module) -> None:
    wide = trtdsl.trace(model, INPUTS)
    narrow = to_precision(wide, "fp16")
    assert [y.name for y in narrow.outputs] == [y.name for y in wide.outputs]
    kept = {op.name for op in narrow.operations}
    for op in layers(wide, MatrixMultiply):
        assert op.name in kept
    names = [t.name for op in narrow.operations for t in op.outputs]
    assert len(set(names)) == len(names)
    modules = {op.source.module for op in narrow.operations if isinstance(op.layer, MatrixMultiply)}
    assert modules == {op.source.module for op in layers(wide, MatrixMultiply)}


def test_a_mask_saturates_and_a_row_that_is_all_masked_stays_finite() -> None:
    class Masked(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            scores = q @ q.T
            mask = torch.full((3, 3), torch.finfo(torch.float32).min)
            return torch.softmax(scores + mask, -1)

    q = f32(3, 4)
    for precision in HALVES:
        answer = trtdsl.trace(Masked().eval(), (q,), precision=precision).evaluate(q)
        assert answer.isfinite().all()
        torch.testing.assert_close(answer.sum(-1), torch.ones(3), rtol=5e-3, atol=0)


def test_infinities_of_the_model_stay_infinite() -> None:
    class Causal(nn.Module):
        def forward(self, q: torch.Tensor) -> torch.Tensor:
            mask = torch.full((3, 3), float("-inf")).triu(1)
            return torch.softmax(q @ q.T + mask, -1)

    q = f32(3, 4)
    answer = trtdsl.trace(Causal().eval(), (q,), precision="fp16").evaluate(q)
    assert torch.equal(answer.triu(1), torch.zeros(3, 3))
    torch.testing.assert_close(answer, Causal()(q), rtol=5e-3, atol=1e-3)


def test_long_sums_do_not_stop_at_float16s_limits() -> None:
    class Sums(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x @ torch.eye(4)
            return y.sum(0) / 100 + (y * y).mean(0).sqrt()

    x = torch.full((30_000, 4), 1.0)
    answer = trtdsl.trace(Sums().eval(), (x,), precision="fp16").evaluate(x)
    torch.testing.assert_close(answer, Sums()(x), rtol=2e-3, atol=0)


@pytest.mark.parametrize("power", [lambda x: x.pow(2), lambda x: x * x, lambda x: x.square()])
def test_squares_beyond_float16_do_not_spoil_a_norm(power: Any) -> None:
    """RMS norms written by hand, of the activations that deep transformers have."""

    class Norm(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x @ torch.eye(8)
            return y * torch.rsqrt(power(y).mean(-1, keepdim=True) + 1e-6)

    x = f32(3, 8) * 2000
    answer = trtdsl.trace(Norm().eval(), (x,), precision="fp16").evaluate(x)
    torch.testing.assert_close(answer, Norm()(x), rtol=4e-3, atol=0)


@pytest.mark.parametrize(
    "guarded", [lambda y: y + 1e-15, lambda y: y.clamp(min=1e-12), lambda y: 1e-15 + y]
)
def test_an_epsilon_that_float16_does_not_have_still_guards(guarded: Any) -> None:
    """The linear attention of AutoencoderDC: rows whose divisor is 0 are 0, not NaN."""

    class Guarded(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.relu(x @ torch.eye(4))
            return y[:, :3] / guarded(y[:, 3:])

    x = torch.tensor([[1.0, 2, 3, 2], [-1, -1, -1, -1], [4, 5, 6, 8]])
    network = trtdsl.trace(Guarded().eval(), (x,), precision="fp16")
    (product,) = layers(network, MatrixMultiply)
    assert {t.dtype for t in (*product.inputs, *product.outputs)} == {DType.FLOAT16}
    torch.testing.assert_close(network.evaluate(x), Guarded()(x), rtol=1e-3, atol=0)


@pytest.mark.parametrize("epsilon", [1e-7, 3e-8])
def test_an_epsilon_that_float16_rounds_far_off_stays_itself(epsilon: float) -> None:
    class Logarithm(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log(torch.relu(x @ torch.eye(4)) * 0 + epsilon)

    x = f32(3, 4)
    answer = trtdsl.trace(Logarithm().eval(), (x,), precision="fp16").evaluate(x)
    torch.testing.assert_close(answer, Logarithm()(x), rtol=1e-3, atol=0)


@dataclass(frozen=True, kw_only=True)
class Places(Plugin, kernel="unused"):
    """Coordinates, which half precision would move."""

    def infer(self, x: TensorType) -> TensorType:
        self.require(x.dtype is DType.FLOAT32, f"takes float32, not {x}")
        return x

    def evaluate(self, x: torch.Tensor) -> torch.Tensor:
        return x * 3


@dataclass(frozen=True, kw_only=True)
class Narrow(Places, kernel="unused"):
    narrows = True

    def infer(self, x: TensorType) -> TensorType:
        return x


@pytest.mark.parametrize(("plugin", "dtype"), [(Places, DType.FLOAT32), (Narrow, DType.FLOAT16)])
def test_a_plugin_keeps_its_types_unless_it_says_more(plugin: Any, dtype: DType) -> None:
    net = Network()
    x = net.input("x", (4, 4))
    net.output(plugin()(x @ net.constant(torch.eye(4))), "y")
    narrowed = to_precision(net, "fp16")
    assert layers(narrowed, plugin)[0].inputs[0].dtype is dtype
    assert narrowed.evaluate(torch.ones(4, 4)).dtype is torch.float32


def test_boxes_before_a_plugin_that_chooses_among_them_stay_in_float32() -> None:
    net = Network()
    x = net.input("x", (6000, 4))
    boxes = x @ net.constant(torch.eye(4)) + 4000.0
    order, _ = Suppression(iou_threshold=0.5).outputs(
        boxes, Slice(start=(0, 0), shape=(6000, 1), stride=(1, 1))(x).reshape(6000)
    )
    net.output(order, "order")
    (found,) = (
        op for op in to_precision(net, "fp16").operations if isinstance(op.layer, Suppression)
    )
    assert found.inputs[0].producer is not None
    assert {t.dtype for t in found.inputs[0].producer.inputs} == {DType.FLOAT32}


def test_the_rms_norm_of_large_numbers_is_right_in_float16() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 8), nn.RMSNorm(8), nn.Linear(8, 4)).eval()
    x = f32(3, 8) * 5000
    answer, expected = trtdsl.trace(model, (x,), precision="fp16").evaluate(x), model(x)
    assert (answer - expected).abs().max() / expected.abs().max() <= 4e-3


def test_a_half_model_keeps_its_own_types() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 4), nn.Softmax(-1)).half().eval(), f32(2, 4).half()
    network = trtdsl.trace(model, (x,))
    assert {y.dtype for y in (*network.inputs, *network.outputs)} == {DType.FLOAT16}
    torch.testing.assert_close(network.evaluate(x), model(x), rtol=2e-3, atol=1e-3)


def test_a_constant_beyond_the_range_is_told_and_the_others_stay() -> None:
    class Table(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.eye(3))
            self.register_buffer("table", torch.tensor([40000.0, 1e6, -2.0]))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.minimum(x @ self.weight, self.table)

    x = torch.full((1, 3), 50000.0)
    with pytest.warns(trtdsl.PrecisionWarning, match=r"holds -2 to 1e\+06: what float16"):
        network = trtdsl.trace(Table().eval(), (x,), precision="fp16")
    assert network.evaluate(x).tolist() == [[40000.0, 32752.0, -2.0]]


@pytest.mark.parametrize(
    ("precision", "fix"),
    [
        ("half", 'precision="fp16"'),
        (torch.float16, 'precision="fp16"'),
        ("bfloat16", 'precision="bf16"'),
        (torch.float32, 'precision="fp32"'),
        ("int8", "leave it out for the model's own dtypes"),
        (["fp16"], "leave it out for the model's own dtypes"),
    ],
    ids=str,
)
def test_another_word_for_a_precision_is_refused_before_the_model_is_looked_at(
    precision: Any, fix: str
) -> None:
    model = nn.ReLU()  # in training mode, which is refused too
    for call in (trtdsl.trace, trtdsl.convert):
        with pytest.raises(trtdsl.ConversionError) as caught:
            call(model, (torch.ones(2),), precision=precision)
        assert str(caught.value).startswith(
            "precision is one of None, 'fp32', 'tf32', 'fp16', 'bf16'"
        )
        assert str(caught.value).endswith(f"not {precision!r}\n  fix: {fix}")
    with pytest.raises(trtdsl.ConversionError, match="precision is one of"):
        trtdsl.Network().build(precision=precision)
