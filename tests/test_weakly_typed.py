"""``trtdsl.passes.weakly_typed``: what TensorRT 8.6 gets for a float32 normalization in fp16."""

from __future__ import annotations

import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.test_lowering import lowered
from trtdsl.ir.cast import Cast
from trtdsl.ir.gather import Gather
from trtdsl.ir.nonzero import NonZero, positions
from trtdsl.ir.normalization import Normalization
from trtdsl.ir.recurrent import Recurrent, RecurrentMode
from trtdsl.network import Network
from trtdsl.passes.weakly_typed import without_casts
from trtdsl.types import DType


def half_network() -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 4)).eval()
    x = f32(3, 8)
    return trtdsl.trace(model, (x,), precision="fp16"), x


def casts(network: Network) -> int:
    """The casts that an input reaches."""
    return sum(
        isinstance(op.layer, Cast) and not op.outputs[0].is_constant for op in network.operations
    )


def test_a_normalization_takes_float16_as_it_is() -> None:
    network, x = half_network()
    plain = without_casts(network)
    assert (casts(network), casts(plain)) == (4, 2)
    (normalization,) = [op for op in plain.operations if isinstance(op.layer, Normalization)]
    assert normalization.name == "2/normalization"
    assert {x.dtype for x in (*normalization.inputs, *normalization.outputs)} == {DType.FLOAT16}
    assert [y.type for y in plain.outputs] == [y.type for y in network.outputs]
    assert [y.name for y in plain.outputs] == [y.name for y in network.outputs]
    expected = network.evaluate(x)
    error = (plain.evaluate(x) - expected).abs().max() / expected.abs().max()
    assert error <= 5e-3
    assert lowered(plain, "8.6.1").created


def test_a_normalization_of_groups_keeps_its_casts() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(4, 8, 1), nn.GroupNorm(4, 8), nn.Conv2d(8, 4, 1)).eval()
    network = trtdsl.trace(model, (f32(2, 4, 5, 3),), precision="fp16")
    plain = without_casts(network)
    assert casts(plain) == casts(network)
    (normalization,) = [op for op in plain.operations if isinstance(op.layer, Normalization)]
    assert {x.dtype for x in normalization.inputs} == {DType.FLOAT32}


def test_a_normalization_of_float32_stays() -> None:
    model = nn.LayerNorm(8).eval()
    x = f32(3, 8)
    network = trtdsl.trace(model, (x,))
    assert torch.equal(without_casts(network).evaluate(x), network.evaluate(x))


def test_a_float32_result_that_is_read_too_stays() -> None:
    net = Network()
    x = net.input("x", (3, 8), DType.FLOAT16)
    scale, bias = net.constant(torch.ones(1, 8)), net.constant(torch.zeros(1, 8))
    wide = Normalization(axes=(1,))(x.cast(DType.FLOAT32), scale, bias)
    net.output(wide, "wide")
    net.output(wide.cast(DType.FLOAT16), "narrow")
    plain = without_casts(net)
    assert [y.dtype for y in plain.outputs] == [DType.FLOAT32, DType.FLOAT16]
    value = f32(3, 8).half()
    for ours, theirs in zip(plain.evaluate(value), net.evaluate(value), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


def test_recurrent_layers_of_float16_are_computed_in_float32() -> None:
    net = Network()
    x = net.input("x", (5, 2, 9), DType.FLOAT16)
    weight = net.constant(torch.randn(9, 3).half())
    state = net.input("state", (2, 3), DType.FLOAT16)
    layer = Recurrent(mode=RecurrentMode.GRU, hidden_size=3)
    for y in layer.outputs(x, weight, state):
        net.output(y)
    lowered = without_casts(net)
    (operation,) = (o for o in lowered.operations if isinstance(o.layer, Recurrent))
    assert {v.dtype for v in (*operation.inputs, *operation.outputs)} == {DType.FLOAT32}
    assert [y.dtype for y in lowered.outputs] == [DType.FLOAT16] * 2
    inputs = torch.randn(5, 2, 9).half(), torch.randn(2, 3).half()
    for ours, theirs in zip(lowered.evaluate(*inputs), net.evaluate(*inputs), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-3, atol=2e-3)


def test_positions_of_an_input_are_those_of_what_is_computed() -> None:
    net = Network()
    mask, x = net.input("mask", (5,), DType.BOOL), net.input("x", (5, 2))
    found = positions(mask)
    net.output(Gather(axis=0)(x, found.reshape(-1)), "picked")
    plain = without_casts(net)
    (operation,) = [op for op in plain.operations if isinstance(op.layer, NonZero)]
    assert operation.inputs[0].producer is not None
    given = torch.tensor([True, False, True, True, False]), f32(5, 2)
    assert torch.equal(plain.evaluate(*given), given[1][given[0]])
    assert lowered(plain, "8.6.1").created
