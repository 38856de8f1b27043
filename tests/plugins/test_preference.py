"""Models whose operators are converted to the shipped plugins."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

import trtdsl
import trtdsl.plugins
from tests.cases.base import f32, i64
from tests.models import vision_operators
from tests.plugins import attending
from tests.plugins.shipped import HALF, regions
from tests.test_ir import assert_close
from trtdsl import registry
from trtdsl.ir.attention import Attention
from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.plugins.correlation import correlation
from trtdsl.plugins.deformable_attention import deformable_attention
from trtdsl.plugins.flash_attention import FlashAttention
from trtdsl.types import DType

assert vision_operators.SCHEMAS, "torchvision's operators are declared"
aten, vision = torch.ops.aten, torch.ops.torchvision


class Calls(torch.nn.Module):
    """A module that is one function."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.function(*inputs)


def deformed(x: torch.Tensor, weight: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
    offset, *mask = rest
    bias = torch.linspace(-1, 1, weight.shape[0])
    groups = x.shape[1] // weight.shape[1], offset.shape[1] // 18
    scale = mask[0] if mask else torch.zeros(x.shape[0], 1)  # as torchvision has it
    result: torch.Tensor = vision.deform_conv2d(
        x, weight, offset, scale, bias, 2, 1, 1, 2, 1, 2, *groups, bool(mask)
    )
    return result


def sampled(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=True)


def scattered(x: torch.Tensor, index: torch.Tensor, src: torch.Tensor) -> torch.Tensor:
    return x.scatter_reduce(1, index, src, "amax", include_self=False)


def spectra(real: torch.Tensor, imag: torch.Tensor) -> torch.Tensor:
    there = torch.fft.fft(torch.complex(real, imag), 24, 1, "ortho")
    back = torch.fft.ifft(there * (1 + 2j), 11)
    return torch.cat([back.real, back.imag, torch.fft.fft(real, norm="forward").imag], 1)


def halves(x: torch.Tensor) -> torch.Tensor:
    whole = torch.fft.rfft(x, dim=1) * (0.5 - 1j)
    return torch.cat([torch.fft.irfft(whole, n=5, dim=1), torch.fft.irfft(whole, dim=1)], 1)


ROWS: dict[str, tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = {
    "DeformableColumns": (
        deformed,
        (f32(2, 8, 9, 7), f32(6, 4, 3, 3), f32(2, 36, 5, 7), f32(2, 18, 5, 7)),
    ),
    "DeformableColumns of version 1": (
        deformed,
        (f32(2, 8, 9, 7), f32(6, 8, 3, 3), f32(2, 18, 5, 7)),
    ),
    "RoIAlign": (
        lambda x, rois: vision.roi_align(x, rois, 0.5, 3, 3, -1, True),
        (f32(2, 3, 8, 8), regions(6, 2, 14.0)),
    ),
    "GridSample3d": (sampled, (f32(1, 2, 3, 4, 5), f32(1, 2, 2, 2, 3))),
    "RunningExtreme": (lambda x: x.cummax(-1).values, (f32(3, 20),)),
    "SearchSorted": (
        lambda x, edges: torch.bucketize(x, edges, right=True),
        (f32(3, 4), f32(9).sort().values),
    ),
    "ScatterReduce": (scattered, (f32(4, 5), i64(3, 7, low=0, high=5), f32(3, 9))),
    "ScatterReduce of sums": (
        lambda x, index, src: x.scatter_add(0, index, src),
        (i64(5, 2), i64(9, 2, low=0, high=5), i64(9, 2)),
    ),
    "FFT": (spectra, (f32(3, 20), f32(3, 20, seed=1))),
    "RFFT": (lambda x: torch.fft.rfft(x, 18, 0).abs(), (f32(12, 3),)),
    "IRFFT": (halves, (f32(2, 3, 7),)),
    "Suppression": (
        lambda boxes, scores: vision.nms(boxes, scores, 0.4),
        (regions(40, 1, 30.0)[:, 1:].contiguous(), f32(40)),
    ),
    "DeformableAttention": (
        deformable_attention,
        (
            f32(2, 14, 2, 3),
            torch.tensor([[3, 4], [1, 2]]),
            f32(2, 5, 2, 2, 3, 2, low=0.0),
            f32(2, 5, 2, 2, 3),
        ),
    ),
    "Correlation": (
        lambda x, other: correlation(x, other, 2, 2, 1, 2),
        (f32(1, 4, 5, 6), f32(1, 4, 5, 6, seed=1)),
    ),
}


@pytest.fixture
def converters(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry as it was, afterwards."""
    registry.load()
    for table in ("_CONVERTERS", "_NAMED", "_OF_COMPLEX"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))


@pytest.mark.parametrize("name", ROWS)
def test_a_model_becomes_plugins(name: str, converters: None) -> None:
    function, inputs = ROWS[name]
    module = Calls(function).eval()
    trtdsl.plugins.prefer()
    net = trtdsl.trace(module, inputs)
    kinds = {type(operation.layer).__name__ for operation in net.operations}
    assert name.partition(" ")[0] in kinds
    assert_close(net.evaluate(*inputs), module(*inputs), 2e-6)


def test_a_transform_of_symbolic_length(converters: None) -> None:
    """Which matrices, of one length each, cannot do."""
    module = Calls(lambda x: torch.fft.ifft(torch.fft.fft(x).abs()).real).eval()
    trtdsl.plugins.prefer("fourier")
    n = torch.export.Dim("n", min=2, max=4096)
    net = trtdsl.trace(module, (f32(2, 24),), dynamic_shapes={"inputs": ({1: n},)})
    for length in (24, 9, 1000):
        x = f32(2, length)
        assert_close(net.evaluate(x), module(x), 2e-6)


def test_nothing_is_preferred_before_it_is_asked_for(converters: None) -> None:
    before = registry.find(aten.cummax.default), registry.find(aten.bucketize.Tensor)
    trtdsl.plugins.prefer("running_extreme")
    after = registry.find(aten.cummax.default), registry.find(aten.bucketize.Tensor)
    assert before[0] is not after[0]
    assert before[1] is after[1]


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(trtdsl.ConversionError, match="by the name of x"):
        trtdsl.plugins.prefer("x")


SUM = ElementWise(op=ElementWiseOperation.SUM)


@pytest.mark.parametrize("name", attending.MODELS)
def test_an_attention_reads_heads_where_they_are(name: str, converters: None) -> None:
    module, inputs = attending.made(name)
    trtdsl.plugins.prefer("attention")
    net = trtdsl.trace(module, inputs, precision="fp16")
    (layer,) = [op for op in net.operations if isinstance(op.layer, FlashAttention)]
    ranks = [x.rank for x in layer.inputs[:3]]
    assert (ranks.count(2), ranks.count(4)) == (rows := attending.MODELS[name][2], 3 - rows)
    assert {x.dtype for x in layer.inputs} == {DType.FLOAT16}
    assert isinstance(layer.layer, FlashAttention)
    assert layer.layer.biased == (rows == 3)
    sums = [op for op in net.operations if op.layer == SUM and not op.outputs[0].is_constant]
    assert len(sums) == (name != "shared"), "of a bias behind the attention, or before a function"
    assert_close(net.evaluate(*inputs), module(*inputs), HALF)


@pytest.mark.parametrize("name", attending.MODELS)
def test_in_float32_an_attention_stays_tensorrts_own(name: str, converters: None) -> None:
    module, inputs = attending.made(name)
    trtdsl.plugins.prefer("attention")
    net = trtdsl.trace(module, inputs)
    kinds = [type(op.layer) for op in net.operations]
    assert (kinds.count(Attention), kinds.count(FlashAttention)) == (1, 0)
    assert_close(net.evaluate(*inputs), module(*inputs), 2e-6)


def test_heads_are_read_at_sizes_that_vary(converters: None) -> None:
    module, _ = attending.made("packed")
    trtdsl.plugins.prefer("attention")
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=99)}
    net = trtdsl.trace(module, (f32(3, 5, 96),), dynamic_shapes=(sizes,), precision="fp16")
    (layer,) = [op for op in net.operations if isinstance(op.layer, FlashAttention)]
    assert [x.rank for x in layer.inputs] == [3, 3, 3, 1]
    for batch, length in ((1, 2), (4, 31), (8, 99)):
        x = f32(batch, length, 96)
        assert_close(net.evaluate(x), module(x), HALF)


def test_in_float32_masks_stay_as_low_as_they_are(converters: None) -> None:
    """Of scores that float32's lowest number leaves alike, all keys count the same."""
    module = Calls(torch.nn.functional.scaled_dot_product_attention).eval()
    mask = torch.zeros(6, 5)
    mask[2], mask[3, :4] = torch.finfo(torch.float32).min, -1e9
    inputs = 4 * f32(1, 2, 6, 8), 4 * f32(1, 2, 5, 8, seed=1), f32(1, 2, 5, 8, seed=2), mask
    trtdsl.plugins.prefer("attention")
    assert_close(trtdsl.trace(module, inputs).evaluate(*inputs), module(*inputs), 2e-6)
