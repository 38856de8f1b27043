"""``trtdsl.quantize``: calibrated on batches, rounded as int8, lowered as TensorRT wants it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_lowering import lowered
from tests.typed import violations
from trtdsl.calibration import Range
from trtdsl.errors import ConversionError, RunError
from trtdsl.ir.convolution import Convolution
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Network, Operation
from trtdsl.passes.precision import to_precision
from trtdsl.reference import fold
from trtdsl.types import DType


class Small(nn.Module):
    """A convolution with a batch norm, a branch that reads the same, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.left, self.right = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = F.relu(self.left(x) + self.right(x))
        return self.head(x.mean((2, 3)))


@pytest.fixture
def model() -> Small:
    torch.manual_seed(0)
    return Small().eval()


BATCHES = [(f32(4, 3, 8, 8, seed=seed),) for seed in range(3)]
X = f32(4, 3, 8, 8, seed=9)


def of(network: Network, kind: type) -> list[Operation]:
    return [op for op in network.operations if isinstance(op.layer, kind)]


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float(((ours - theirs).norm() / theirs.norm()).detach())


@pytest.mark.parametrize("calibration", ["mse", "max"])
def test_answers_are_near_those_in_floats(model: Small, calibration: str) -> None:
    network = trtdsl.trace(model, (X,))
    quantized = trtdsl.quantize(network, BATCHES, calibration=calibration)
    error = relative_error(quantized.evaluate(X), model(X))
    assert 1e-3 < error < 3e-2, "rounded to 8 bits, and not to fewer"
    assert network.evaluate(X).equal(trtdsl.trace(model, (X,)).evaluate(X)), "the old one stays"


def test_both_operands_of_every_layer_are_rounded(model: Small) -> None:
    quantized = trtdsl.quantize(trtdsl.trace(model, (X,)), BATCHES)
    layers = of(quantized, Convolution) + of(quantized, MatrixMultiply)
    assert len(layers) == 4
    assert {x.producer.layer.axis for op in layers for x in op.inputs[:1]} == {None}
    assert [op.inputs[1].producer.layer.axis for op in layers] == [0, 0, 0, 0]
    assert len(of(quantized, FakeQuantize)) == 3 + 4, "both branches read one rounded activation"
    left, right = (op for op in layers if op.source.module in ("left", "right"))
    assert left.inputs[0] is right.inputs[0]


def test_weights_have_a_step_for_each_channel(model: Small) -> None:
    with torch.no_grad():
        model.head.weight[2] *= 100
        model.head.weight[3] = 0
    quantized = trtdsl.quantize(trtdsl.trace(model, (X,)), BATCHES)
    (head,) = of(quantized, MatrixMultiply)
    weights, steps = head.inputs[1].producer.inputs
    expected = model.head.weight.abs().amax(1) / 127
    expected[3] = 1.0
    torch.testing.assert_close(fold(steps), expected)
    assert steps.shape == (5,)
    assert weights.is_constant


def test_a_rare_large_value_does_not_cost_all_others_their_steps() -> None:
    """By least squares it is clamped; by the largest value it decides."""
    values = f32(100_000)
    values[0] = 1000.0
    seen = Range()
    for part in values.chunk(5):
        seen.add(part)
    assert seen.largest == 1000.0
    limit = seen.limit()
    assert limit <= 1000.0
    errors = {}
    for name, bound in (("mse", limit), ("max", seen.largest), ("less", limit / 2)):
        step = bound / 127
        rounded = (values / step).round().clamp(-127, 127) * step
        errors[name] = float((rounded - values).square().mean())
    assert errors["mse"] <= min(errors["max"], errors["less"]) * 1.001
    bell = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    seen = Range()
    seen.add(bell)
    assert 2.5 < seen.limit() < 4.5 < seen.largest + 0.5


def test_zeros_alone_have_a_range_too() -> None:
    seen = Range()
    seen.add(torch.zeros(5))
    assert seen.limit() == 0.0
    network = trtdsl.trace(nn.Linear(4, 4).eval(), (torch.zeros(2, 4),))
    quantized = trtdsl.quantize(network, [torch.zeros(2, 4)])
    assert quantized.evaluate(torch.zeros(2, 4)).isfinite().all()


def test_sizes_that_vary_and_batches_of_every_kind(model: Small) -> None:
    batch = Dim("batch", min=1, max=16)
    network = trtdsl.trace(model, (X,), dynamic_shapes=({0: batch},))
    batches = [BATCHES[0], BATCHES[1][0][:1], {"x": BATCHES[2][0][:3]}, [X[:2]]]
    quantized = trtdsl.quantize(network, iter(batches))
    for size in (1, 4):
        assert relative_error(quantized.evaluate(X[:size]), model(X[:size])) < 3e-2


def test_modules_that_are_skipped_stay(model: Small) -> None:
    network = trtdsl.trace(model, (X,))
    quantized = trtdsl.quantize(network, BATCHES, skip=["first", "head"])
    rounded = {
        op.source.module for op in of(quantized, Convolution) if not op.inputs[1].is_constant
    }
    assert rounded == {"left", "right"}
    with pytest.raises(ConversionError, match=r"skip='heads' names no module .*\n.*first, head"):
        trtdsl.quantize(network, BATCHES, skip=["heads"])


@pytest.mark.parametrize("version", standin.VERSIONS)
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_it_lowers_to_pairs_of_layers(model: Small, version: str, precision: str | None) -> None:
    network = trtdsl.trace(model, (X,), precision=precision)
    quantized = trtdsl.quantize(network, BATCHES)
    assert relative_error(quantized.evaluate(X).float(), model(X)) < 3e-2
    api = lowered(quantized, version)
    names = [type(layer).__name__ for layer in api.created]
    assert names.count("IQuantizeLayer") == names.count("IDequantizeLayer") == 7
    assert not api.strongly_typed or list(violations(api.network)) == []


def test_float16_afterwards_reaches_what_is_rounded(model: Small) -> None:
    quantized = trtdsl.quantize(trtdsl.trace(model, (X,)), BATCHES)
    half = to_precision(quantized, "fp16")
    assert {op.outputs[0].dtype for op in of(half, FakeQuantize)} == {DType.FLOAT16}
    assert {op.outputs[0].dtype for op in of(half, Convolution)} == {DType.FLOAT16}
    assert relative_error(half.evaluate(X), model(X)) < 3e-2


def test_bfloat16_keeps_steps_that_float16_has_not() -> None:
    model, x = nn.Linear(8, 8).eval(), f32(4, 8)
    with torch.no_grad():
        model.weight *= 1e-4
    quantized = trtdsl.quantize(trtdsl.trace(model, (x,)), [x])
    least = {}
    for precision in ("fp16", "bf16"):
        layers = of(to_precision(quantized, precision), FakeQuantize)
        least[precision] = min(float(fold(op.inputs[1]).min()) for op in layers)
    assert least["fp16"] == 2.0**-14
    assert 0 < least["bf16"] < 1e-6


def test_what_cannot_be_calibrated(model: Small) -> None:
    network = trtdsl.trace(model, (X,))
    with pytest.raises(ConversionError, match="no batches"):
        trtdsl.quantize(network, [])
    with pytest.raises(RunError, match=r"shape \(4, 3, 8, 9\)"):
        trtdsl.quantize(network, [torch.zeros(4, 3, 8, 9)])
    with pytest.raises(RunError, match=r"batch 2: .* not finite"):
        trtdsl.quantize(network, [X, X * float("nan")])
    with pytest.raises(ConversionError, match="calibration='entropy'"):
        trtdsl.quantize(network, BATCHES, calibration="entropy")
    with pytest.raises(ConversionError, match="no convolution or linear layer"):
        trtdsl.quantize(trtdsl.trace(nn.ReLU().eval(), (X,)), BATCHES)


class Turned(nn.Module):
    """Positions times frequencies, a resize, and what is to be rounded."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.register_buffer("frequencies", torch.tensor([[1.0, 0.1, 0.01, 0.001]]))

    def forward(self, x: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        wide = F.interpolate(x[:, None], size=6, mode="linear", antialias=False)[:, 0]
        return self.linear(wide) * (places[:, None] @ self.frequencies).cos()


def test_angles_and_resizes_stay() -> None:
    torch.manual_seed(0)
    model, x, places = Turned().eval(), f32(3, 5), torch.tensor([1.0, 300.0, 5000.0])
    network = trtdsl.trace(model, (x, places))
    quantized = trtdsl.quantize(network, [(x, places)])
    assert len(of(quantized, FakeQuantize)) == 2
    assert relative_error(quantized.evaluate(x, places), model(x, places)) < 3e-2


def test_a_scale_that_an_input_reaches_is_refused() -> None:
    net = Network()
    net.output(FakeQuantize()(net.input("x", (3,)), net.input("scale", ())), "y")
    with pytest.raises(trtdsl.BuildError, match="the scale is one that an input reaches"):
        lowered(net, "10.0.1")


class Trained(nn.Module):
    """As a quantization-aware training leaves it."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)
        self.register_buffer("steps", self.linear.weight.detach().abs().amax(1) / 127)
        self.register_buffer("zeros", torch.zeros(4, dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weight = torch.fake_quantize_per_channel_affine(
            self.linear.weight, self.steps, self.zeros, 0, -128, 127
        )
        x = torch.fake_quantize_per_tensor_affine(x, 0.02, 0, -128, 127)
        return F.linear(x, weight, self.linear.bias)


def test_a_model_that_was_trained_so_is_computed_in_int8() -> None:
    torch.manual_seed(0)
    model, x = Trained().eval(), f32(3, 6)
    network = trtdsl.trace(model, (x,))
    torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-6)
    (product,) = of(network, MatrixMultiply)
    assert {type(v.producer.layer) for v in product.inputs} >= {FakeQuantize}
    assert len(of(network, FakeQuantize)) == 2


def test_a_module_is_no_network() -> None:
    with pytest.raises(ConversionError, match=r"a network, not a Linear\n  fix: trtdsl.quantize\("):
        trtdsl.quantize(torch.nn.Linear(2, 2), [torch.ones(1, 2)])  # type: ignore[arg-type]
