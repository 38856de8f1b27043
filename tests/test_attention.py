"""Attention in whole networks: what 16 bits and each TensorRT release make of it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_lowering import lowered
from trtdsl.ir.attention import Attention
from trtdsl.ir.cast import Cast
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.softmax import SoftMax
from trtdsl.network import Network
from trtdsl.passes.weakly_typed import without_casts
from trtdsl.types import DType

HALVES = {"fp16": 4e-3, "bf16": 3e-2}


class Masked(nn.Module):
    """Attention with the mask that models compute from numbers of padded tokens."""

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, length: torch.Tensor
    ) -> torch.Tensor:
        padding = torch.arange(k.shape[2]) >= length[:, None, None, None]
        mask = padding.float() * torch.finfo(torch.float32).min
        return F.scaled_dot_product_attention(q, k, v, mask)


Q, K, V = f32(2, 4, 6, 16) * 4, f32(2, 4, 6, 16) * 4, f32(2, 4, 6, 16, seed=1)
LENGTHS = torch.tensor([6, 2])


def layers(network: Network, *kinds: type) -> list[str]:
    return [type(op.layer).__name__ for op in network.operations if isinstance(op.layer, kinds)]


@pytest.mark.parametrize("precision", HALVES)
def test_the_lowest_float32_in_a_mask_does_not_become_infinity(precision: str) -> None:
    inputs = (Q, K, V, LENGTHS)
    network = trtdsl.trace(Masked().eval(), inputs, precision=precision)
    (attention,) = [op for op in network.operations if isinstance(op.layer, Attention)]
    assert {x.dtype for x in attention.inputs[:4]} < {DType.FLOAT16, DType.BFLOAT16}
    expected = Masked()(*inputs)
    for lengths in (LENGTHS, torch.tensor([1, 0])):
        actual = network.evaluate(Q, K, V, lengths)
        assert actual.isfinite().all()
    actual = network.evaluate(*inputs)
    assert (actual - expected).abs().max() / expected.abs().max() <= HALVES[precision]


def test_tensorrt_8_gets_products_and_softmax_of_float16_alone() -> None:
    """Casts between them would keep it from making one kernel of the three."""
    network = trtdsl.trace(Masked().eval(), (Q, K, V, LENGTHS), precision="fp16")
    plain = without_casts(network)
    assert layers(plain, Attention) == []
    start = [type(op.layer) for op in plain.operations].index(MatrixMultiply)
    chain = [op for op in plain.operations[start:] if not op.outputs[0].is_constant]
    kinds = [type(op.layer).__name__ for op in chain]
    assert [k for k in kinds if k in ("MatrixMultiply", "SoftMax", "Cast")][:3] == [
        "MatrixMultiply", "SoftMax", "MatrixMultiply",
    ]  # fmt: skip
    (softmax,) = [op for op in chain if isinstance(op.layer, SoftMax)]
    assert softmax.inputs[0].dtype is DType.FLOAT16
    expected = network.evaluate(Q, K, V, LENGTHS)
    error = (plain.evaluate(Q, K, V, LENGTHS) - expected).abs().max() / expected.abs().max()
    assert error <= 8e-3
    assert lowered(plain, "8.6.1").created


def test_attention_by_hand_has_its_softmax_in_float16_on_tensorrt_8() -> None:
    class ByHand(nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return torch.softmax(q @ k.mT / 4, -1) @ v

    plain = without_casts(trtdsl.trace(ByHand().eval(), (Q, K, V), precision="fp16"))
    (softmax,) = [op for op in plain.operations if isinstance(op.layer, SoftMax)]
    assert softmax.inputs[0].dtype is softmax.outputs[0].dtype is DType.FLOAT16


def test_a_softmax_of_float16_is_computed_in_float32() -> None:
    """The sum of so many ones is beyond float16, whose next number after 2048 is 2050."""
    ones = torch.zeros(1, 1, 8192, dtype=torch.float16)
    net = Network()
    x = net.input("x", ones.shape, DType.FLOAT16)
    net.output(SoftMax(axis=2)(x).cast(DType.FLOAT32), "y")
    assert torch.allclose(net.evaluate(ones), torch.tensor(1 / 8192))


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_the_layer_is_used_where_the_release_has_it(version: str) -> None:
    network = trtdsl.trace(Masked().eval(), (Q, K, V, LENGTHS), precision="fp16")
    api = lowered(network, version)
    kinds = [type(layer).__name__ for layer in api.network.state["layers"]]
    has = api.has("add_attention")
    assert has is (version not in ("8.6.1", "10.0.1", "10.3.0", "10.8.0.43", "10.13.3.9"))
    assert kinds.count("IAttention") == has
    assert kinds.count("ISoftMaxLayer") == (not has)


def test_scores_are_wide_on_releases_that_are_strongly_typed() -> None:
    net = Network()
    inputs = [net.input(n, (1, 2, 3, 8), DType.FLOAT16) for n in "qkv"]
    net.output(Attention().expand(*inputs), "y")
    (softmax,) = [op for op in net.operations if isinstance(op.layer, SoftMax)]
    assert softmax.inputs[0].dtype is DType.FLOAT32
    assert layers(net, Cast) == ["Cast", "Cast"]


class Rotary(nn.Module):
    """Rotary position embedding as language models write it, in two halves."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("frequencies", 10000.0 ** -(torch.arange(0, 16, 2) / 16))
        self.project = nn.Linear(16, 16, bias=False)
        nn.init.eye_(self.project.weight)

    def forward(self, x: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        column = self.frequencies[None, :, None].expand(len(positions), -1, 1)
        angles = (column @ positions[:, None, :].float()).transpose(1, 2)
        both = torch.cat((angles, angles), -1)[:, None]
        x = self.project(x)
        first, second = x.chunk(2, -1)
        return x * both.cos() + torch.cat((-second, first), -1) * both.sin()


@pytest.mark.parametrize("precision", HALVES)
def test_rotary_angles_of_late_positions_are_right_in_16_bits(precision: str) -> None:
    x, positions = f32(2, 3, 8, 16), torch.arange(16).reshape(2, 8) * 271 + 3
    model = Rotary().eval()
    network = trtdsl.trace(model, (x, positions), precision=precision)
    actual, expected = network.evaluate(x, positions), model(x, positions)
    assert (actual - expected).abs().max() / expected.abs().max() <= HALVES[precision]


class Biased(nn.Module):
    """Attention whose mask is computed from its queries, and from what ``change`` makes of it."""

    def __init__(self, change: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.change, self.table = change, nn.Parameter(f32(8, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = self.change(x @ self.table)
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


LOWEST = torch.finfo(torch.float32).min


@pytest.mark.parametrize(
    ("change", "guarded", "zero"),
    [
        (lambda mask: mask * 2 + mask.flip(-1), False, False),
        (lambda mask: torch.where(mask > 1e4, mask, -1e9), False, False),
        (lambda mask: torch.where(mask > 1e4, mask, LOWEST), True, False),
        (lambda mask: torch.where(mask > 1e4, mask, LOWEST) + LOWEST, True, True),
        (lambda mask: torch.where(mask > 1e4, mask, -1e9).half().float(), True, True),
        (lambda mask: torch.where(mask > 1e4, mask, -torch.inf), True, True),
        (lambda mask: (mask - 1e4).relu().log(), True, True),
    ],
    ids=["sums", "numbers", "lowest", "twice", "half", "infinities", "logarithms"],
)
def test_queries_that_may_attend_to_nothing(
    change: Callable[[torch.Tensor], torch.Tensor], guarded: bool, zero: bool
) -> None:
    """Their answers are 0, as PyTorch's; where none can be among them the layers are spared."""
    model, x = Biased(change).eval(), f32(2, 3, 6, 8)
    network = trtdsl.trace(model, (x,))
    (layer,) = [op for op in network.operations if isinstance(op.layer, Attention)]
    assert len(layer.inputs) == (5 if guarded else 4)
    expected = model(x)
    assert expected.isfinite().all()
    assert bool((expected == 0).all()) is zero
    torch.testing.assert_close(network.evaluate(x), expected, rtol=1e-5, atol=1e-6)


def test_a_mask_of_the_models_state_may_be_refitted_with_infinities() -> None:
    offset = nn.Parameter(f32(6, 6))
    model = Biased(lambda mask: mask + offset)
    model.offset = offset
    network = trtdsl.trace(model.eval(), (f32(2, 3, 6, 8),))
    (layer,) = [op for op in network.operations if isinstance(op.layer, Attention)]
    assert len(layer.inputs) == 5


def test_a_mask_that_is_an_input_may_hold_infinities() -> None:
    mask = torch.zeros(6, 6)
    mask[2] = -torch.inf
    x = f32(2, 3, 6, 8)
    network = trtdsl.trace(Given().eval(), (x, torch.zeros(6, 6)))
    expected = F.scaled_dot_product_attention(x, x, x, attn_mask=mask * 2)
    assert (expected[:, :, 2] == 0).all()
    torch.testing.assert_close(network.evaluate(x, mask), expected, rtol=1e-5, atol=1e-6)


class Given(nn.Module):
    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(x, x, x, attn_mask=mask * 2)
