"""Where scales by channel stand after the pass, and that every value stays what it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.models.trained import Trained
from trtdsl.ir.convolution import Convolution, Deconvolution
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Network
from trtdsl.passes.channel_scales import channel_scales
from trtdsl.passes.prepared import prepared_for
from trtdsl.reference import fold
from trtdsl.types import DType

Use: TypeAlias = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

SCALES = torch.tensor([0.03125, 0.0625, 0.015625, 0.5])


class Rounding(nn.Module):
    """``use`` of an input and of weights rounded by channel."""

    def __init__(self, use: Use, axis: int = 0) -> None:
        super().__init__()
        self.use, self.axis = use, axis
        self.register_buffer("weights", f32(4, 3, 3, 3).movedim(0, axis).contiguous())
        self.register_buffer("scales", SCALES)
        self.register_buffer("zeros", torch.zeros(4, dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = torch.fake_quantize_per_channel_affine(
            self.weights, self.scales, self.zeros, self.axis, -128, 127
        )
        return self.use(x, weights)


def made(use: Use, axis: int = 0) -> Network:
    return trtdsl.trace(Rounding(use, axis).eval(), (f32(2, 3, 8, 8),))


def rounds(network: Network) -> list[FakeQuantize]:
    return [op.layer for op in network.operations if isinstance(op.layer, FakeQuantize)]


def same(before: Network) -> Network:
    """The network after the pass, which answers bit for bit as before."""
    after = channel_scales(before)
    x = f32(2, 3, 8, 8)
    assert torch.equal(after.evaluate(x), before.evaluate(x))
    return after


MOVES: dict[str, tuple[int, Callable[[torch.Tensor], torch.Tensor], list[int]]] = {
    "transposed": (1, lambda w: w.permute(1, 0, 2, 3), [0, 1, 2, 3]),
    "twice": (3, lambda w: w.permute(3, 1, 2, 0).flatten(1).reshape(4, 3, 3, 3), [0, 1, 2, 3]),
    "flipped": (0, lambda w: w.flip(0), [3, 2, 1, 0]),
    "cut": (0, lambda w: w[1:3], [1, 2]),
    "strided": (0, lambda w: w[::2], [0, 2]),
    "reshaped": (0, lambda w: w.reshape(1, 4, 27).reshape(4, 3, 3, 3), [0, 1, 2, 3]),
}


@pytest.mark.parametrize("name", MOVES)
def test_weights_are_moved_before_they_are_rounded(name: str) -> None:
    axis, move, channels = MOVES[name]
    after = same(made(lambda x, w: F.conv2d(x, move(w)), axis))
    (convolution,) = (op for op in after.operations if isinstance(op.layer, Convolution))
    rounding = convolution.inputs[1].producer
    assert rounding is not None
    assert rounding.layer == FakeQuantize(axis=0)
    assert torch.equal(fold(rounding.inputs[1]), SCALES[channels])
    assert len(rounds(after)) == 1


READ: dict[str, Use] = {
    "an output": lambda x, w: w,
    "summed": lambda x, w: x + w.sum((0, 2, 3)).reshape(3, 1, 1),
    "spread over two axes": lambda x, w: F.conv2d(x, w.reshape(2, 6, 3, 3)[:, :3]),
    "weights and more": lambda x, w: F.conv2d(x, w) + w.sum(),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_no_weight_is_rounded_in_floats(name: str) -> None:
    assert not rounds(same(made(READ[name])))


def test_one_scale_and_no_scales_stay() -> None:
    net = Network()
    x = net.input("x", (2, 3), DType.FLOAT32)
    net.output(FakeQuantize()(x, net.constant(torch.tensor(0.5))), "y")
    assert channel_scales(net) is net


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
def test_products_of_a_trained_model_read_what_is_rounded(version: str) -> None:
    inputs = f32(2, 5, 8), f32(1, 3, 9, 9)
    network = trtdsl.trace(Trained().eval(), inputs)
    prepared = prepared_for(network, standin.load(version))
    products = [
        op
        for op in prepared.operations
        if isinstance(op.layer, (Convolution, Deconvolution, MatrixMultiply))
    ]
    assert len(products) == 4
    for op in products:
        made_by = op.inputs[1].producer
        assert made_by is not None
        assert isinstance(made_by.layer, FakeQuantize), op
    for ours, theirs in zip(prepared.evaluate(*inputs), network.evaluate(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-6)


@pytest.mark.parametrize("version", ["8.6.1", "10.3.0"])
@pytest.mark.parametrize("transposed", [False, True])
def test_weights_over_one_axis_get_their_second_before(version: str, transposed: bool) -> None:
    kernel = f32(3, 3, 5)

    class Sound(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = torch.fake_quantize_per_tensor_affine(x, 0.05, 0, -128, 127)
            weights = Trained.rounded(kernel, int(transposed))
            return (F.conv_transpose1d if transposed else F.conv1d)(x, weights)

    x = f32(2, 3, 12)
    network = trtdsl.trace(Sound().eval(), (x,))
    prepared = prepared_for(network, standin.load(version))
    kinds = (Convolution, Deconvolution)
    (product,) = (op for op in prepared.operations if isinstance(op.layer, kinds))
    assert product.inputs[1].rank == 4
    assert rounds(prepared) == [FakeQuantize(), FakeQuantize(axis=int(transposed))]
    torch.testing.assert_close(prepared.evaluate(x), network.evaluate(x), rtol=0, atol=1e-6)


def test_as_many_channels_as_rows_are_not_all_channels() -> None:
    weights = f32(2, 4)

    class Cut(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ Trained.rounded(weights, 1)[:, :2]

    x = f32(3, 2)
    network = trtdsl.trace(Cut().eval(), (x,))
    assert torch.equal(channel_scales(network).evaluate(x), network.evaluate(x))
