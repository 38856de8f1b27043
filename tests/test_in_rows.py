"""``in_rows``: residual streams as matrices of one token a row."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_lowering import lowered
from trtdsl.ir.attention import Attention
from trtdsl.ir.base import Layer
from trtdsl.ir.constant import Constant
from trtdsl.ir.elementwise import ElementWise
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network, Operation
from trtdsl.passes.rows import in_rows


class Rms(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(f32(size, low=0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


class Block(nn.Module):
    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.first, self.second = norm(16), norm(16)
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)
        self.up, self.down = nn.Linear(16, 32), nn.Linear(32, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, size = x.shape
        q, k, v = (
            y.view(batch, length, 4, 4).transpose(1, 2)
            for y in self.qkv(self.first(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(y.reshape(batch, length, size))
        return x + self.down(F.gelu(self.up(self.second(x))))


class Encoder(nn.Module):
    """A class token, positions, blocks, and a head that reads the class token."""

    def __init__(self, norm: type[nn.Module] = nn.LayerNorm) -> None:
        super().__init__()
        self.token, self.places = nn.Parameter(f32(1, 1, 16)), nn.Parameter(f32(1, 6, 16))
        self.blocks = nn.Sequential(Block(norm), Block(norm))
        self.norm, self.head = norm(16), nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), 1) + self.places
        x = self.norm(self.blocks(x))
        return self.head(x[:, 0]), x


@pytest.fixture
def x() -> torch.Tensor:
    torch.manual_seed(0)
    return f32(2, 5, 16)


def of(network: Network, kind: type[Layer]) -> list[Operation]:
    return [
        op
        for op in network.operations
        if isinstance(op.layer, kind) and not op.outputs[0].is_constant
    ]


def weights_of(network: Network) -> set[str | None]:
    layers = [op.layer for op in network.operations]
    return {layer.weights.name for layer in layers if isinstance(layer, Constant)} - {None}


@pytest.mark.parametrize("precision", [None, "fp16"])
@pytest.mark.parametrize("norm", [nn.LayerNorm, Rms])
def test_a_stream_becomes_a_matrix(
    x: torch.Tensor, norm: type[nn.Module], precision: str | None
) -> None:
    model = Encoder(norm).eval()
    network = trtdsl.trace(model, (x,), precision=precision)
    rows = in_rows(network)
    assert {op.outputs[0].rank for op in of(network, MatrixMultiply)[:-1]} == {3}
    assert {op.outputs[0].rank for op in of(rows, MatrixMultiply)} == {2}
    assert {op.outputs[0].rank for op in of(rows, Attention)} == {4}
    assert {op.outputs[0].shape for op in of(rows, Normalization)} <= {(12, 16)}
    three = [op for op in of(rows, ElementWise) if op.outputs[0].rank == 3]
    assert len(three) == 1, "only the places are added to three axes"
    for ours, theirs in zip(rows.evaluate(x), network.evaluate(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    assert [(y.name, y.type) for y in rows.outputs] == [(y.name, y.type) for y in network.outputs]
    assert lowered(rows, "8.6.1").created


def test_names_and_weights_stay_those_of_the_model(x: torch.Tensor) -> None:
    network = trtdsl.trace(Encoder().eval(), (x,))
    rows = in_rows(network)
    before, after = (
        {op.name for op in of(net, MatrixMultiply) + of(net, Normalization)}
        for net in (network, rows)
    )
    assert before == after
    assert weights_of(rows) == weights_of(network)


def test_one_sequence_or_sizes_that_vary_stay(x: torch.Tensor) -> None:
    model = Encoder().eval()
    alone = trtdsl.trace(model, (x[:1],))
    varying = trtdsl.trace(model, (x,), dynamic_shapes=({0: Dim("batch", min=1, max=8)},))
    for network in (alone, varying):
        assert in_rows(network) is network


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(16, 16), nn.LayerNorm(16), nn.Linear(16, 4)),
        nn.Sequential(nn.Linear(16, 16), nn.GELU()),
        nn.Sequential(nn.InstanceNorm1d(5, affine=True)),
    ],
    ids=["no sum", "no norm", "other axes"],
)
def test_what_is_no_residual_stream_stays(model: nn.Module, x: torch.Tensor) -> None:
    network = trtdsl.trace(model.eval(), (x,))
    assert in_rows(network) is network


def test_what_mixes_rows_is_not_taken_along(x: torch.Tensor) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block, self.mix = Block(nn.LayerNorm), nn.Linear(5, 5)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.mix(self.block(x).transpose(1, 2)).transpose(1, 2)
            y = y * y.softmax(1) + y.mean(1, keepdim=True) + y.flip(1)
            weights = torch.linspace(0.5, 1, 5)[:, None]
            return self.block(y * weights)

    model = Mixed().eval()
    network = trtdsl.trace(model, (x,))
    rows = in_rows(network)
    assert rows is not network
    torch.testing.assert_close(rows.evaluate(x), network.evaluate(x), rtol=1e-5, atol=1e-6)
