"""``turned_before``: products whose results are added, of heads that were moved."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.elementwise import ElementWise, Unary, UnaryOperation
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.shuffle import Shuffle
from trtdsl.network import Network
from trtdsl.passes.turned import turned_before
from trtdsl.passes.weakly_typed import without_casts

KINDS = "parallel", "parallel_in_order", "scaled", "joined", "sequential"


class Block(nn.Module):
    """Attention and an MLP that read the same, as GPT-NeoX and Phi have them."""

    def __init__(self, kind: str = "parallel", *, bias: bool = True) -> None:
        super().__init__()
        self.kind, self.norm = kind, nn.LayerNorm(32)
        self.qkv, self.up = nn.Linear(32, 96, bias=bias), nn.Linear(32, 64, bias=bias)
        self.out, self.down = nn.Linear(32, 32, bias=bias), nn.Linear(64, 32, bias=bias)
        self.both = nn.Linear(96, 32, bias=bias)

    def heads(self, h: torch.Tensor) -> torch.Tensor:
        batch, length, size = h.shape
        q, k, v = self.qkv(h).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v)
        return y.transpose(1, 2).reshape(batch, length, size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = self.norm(x)
        y, z = self.heads(h), F.gelu(self.up(h))
        match self.kind:
            case "parallel":
                return x + (self.out(y) + self.down(z))
            case "parallel_in_order":
                return x + self.out(y) + self.down(z)
            case "scaled":
                return x + 0.5 * self.out(y) + self.down(z) / 3
            case "joined":
                return x + self.both(torch.cat([y, z], -1))
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm(x))))


def negatives(network: Network) -> int:
    layers = [op.layer for op in network.operations]
    return layers.count(Unary(op=UnaryOperation.NEG))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "count"), [*zip(KINDS, (1, 1, 1, 0, 0), strict=True)])
def test_heads_beside_an_mlp(kind: str, count: int, bias: bool) -> None:
    torch.manual_seed(0)
    model, x = Block(kind, bias=bias).eval(), f32(2, 8, 32)
    before = without_casts(trtdsl.trace(model, (x,)))
    network = turned_before(before)
    assert negatives(network) == count
    torch.testing.assert_close(network.evaluate(x), before.evaluate(x), rtol=0, atol=0)
    torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("varies", [False, True])
def test_where_the_sign_is_changed(varies: bool) -> None:
    """Before the heads are moved where sizes are known, and behind the product where they vary."""
    torch.manual_seed(0)
    model, x = Block().eval(), f32(2, 8, 32)
    shapes = ({1: Dim("length", min=1, max=64)},) if varies else None
    network = turned_before(without_casts(trtdsl.trace(model, (x,), dynamic_shapes=shapes)))
    (negative,) = (op for op in network.operations if op.layer == Unary(op=UnaryOperation.NEG))
    (following,) = (op for op in network.operations if negative.outputs[0] in op.inputs)
    assert isinstance(following.layer, ElementWise if varies else Shuffle)
    for length in (8, 13) if varies else (8,):
        x = f32(2, length, 32, seed=length)
        torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


class Relative(nn.Module):
    """Values and those of places, weighted alike and added (Shaw et al., 2018)."""

    def forward(self, w: torch.Tensor, v: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        return w @ v.transpose(1, 2) + w @ places.relu()


def test_a_second_factor_that_is_turned() -> None:
    inputs = f32(2, 3, 5, 6), f32(2, 6, 3, 4, seed=1), f32(2, 3, 6, 4, seed=2)
    network = turned_before(trtdsl.trace(Relative().eval(), inputs))
    assert negatives(network) == 1
    torch.testing.assert_close(network.evaluate(*inputs), Relative()(*inputs), rtol=1e-5, atol=1e-5)


class Images(nn.Module):
    """Columns that lie first in the input, and what else reads them."""

    def __init__(self, case: str) -> None:
        super().__init__()
        self.case, self.a, self.b = case, nn.Linear(12, 5), nn.Linear(12, 5)

    def forward(self, x: torch.Tensor, z: torch.Tensor) -> tuple[torch.Tensor, ...]:
        y = x.permute(0, 2, 1) if self.case != "reshaped" else x.reshape(2, 7, 12)
        a, b = self.a(y), self.b(z)
        match self.case:
            case "read":
                return a + b, y
            case "kept":
                return a + b, a
        return (a + b,)


@pytest.mark.parametrize(("case", "count"), [("", 1), ("read", 1), ("kept", 0), ("reshaped", 0)])
def test_what_else_reads_what_is_turned(case: str, count: int) -> None:
    model, x, z = Images(case).eval(), f32(2, 12, 7), f32(2, 7, 12, seed=1)
    network = turned_before(trtdsl.trace(model, (x, z)))
    assert negatives(network) == count
    for ours, wanted in zip(answers(network.evaluate(x, z)), model(x, z), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=1e-5, atol=1e-5)


def test_matrices_in_int8_stay() -> None:
    class Rounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Parameter(f32(5, 12)), nn.Linear(12, 5)

        def forward(self, x: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
            matrix = torch.fake_quantize_per_tensor_affine(self.a, 0.01, 0, -128, 127)
            return F.linear(x.permute(0, 2, 1), matrix) + self.b(z)

    network = turned_before(trtdsl.trace(Rounded().eval(), (f32(2, 12, 7), f32(2, 7, 12))))
    assert negatives(network) == 0
    assert any(isinstance(op.layer, FakeQuantize) for op in network.operations)


def test_a_long_sum() -> None:
    class Long(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(12, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x.permute(0, 2, 1))
            for i in range(1200):
                y = y + float(i)
            return y + self.a(x.relu().mT)

    network = turned_before(trtdsl.trace(Long().eval(), (f32(2, 12, 7),)))
    assert negatives(network) == 2
