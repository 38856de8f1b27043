"""``without_single_rows`` and ``of_added_lengths``: products that TensorRT 8.6 gets wrong."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.network import Network, Operation
from trtdsl.passes.added_lengths import of_added_lengths
from trtdsl.passes.prepared import prepared_for
from trtdsl.passes.single_rows import without_single_rows


class Cached(nn.Module):
    """Attention of new tokens to those in a cache and to themselves, two queries a key."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens, self.norm = nn.Embedding(50, 32), nn.RMSNorm(32)
        self.q, self.kv, self.out = nn.Linear(32, 32), nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(
        self, ids: torch.Tensor, past_k: torch.Tensor, past_v: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.tokens(ids)
        h = self.norm(x)
        batch, length, _ = h.shape
        q = self.q(h).view(batch, length, 4, 8).transpose(1, 2)
        k, v = self.kv(h).view(batch, length, 2, 2, 8).permute(2, 0, 3, 1, 4).unbind(0)
        k, v = torch.cat([past_k, k], 2), torch.cat([past_v, v], 2)
        y = F.scaled_dot_product_attention(
            q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), scale=1.0
        )
        return x + self.out(y.transpose(1, 2).flatten(2)), k, v


class Joined(nn.Module):
    """Attention of two sorts of tokens together, with norms of queries and keys, as in SD3."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.text = nn.Linear(32, 96), nn.Linear(32, 96)
        self.q, self.k, self.out = nn.RMSNorm(16), nn.RMSNorm(16), nn.Linear(32, 32)

    def forward(self, image: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        both = [f(x).unflatten(-1, (3, 2, 16)) for f, x in ((self.image, image), (self.text, text))]
        q, k, v = torch.cat(both, 1).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(self.q(q), self.k(k), v)
        return self.out(y.transpose(1, 2).flatten(2))[:, : image.shape[1]]


def cached(batch: int, length: int, past: int, seed: int = 0) -> tuple[torch.Tensor, ...]:
    ids = torch.randint(50, (batch, length), generator=torch.Generator().manual_seed(seed))
    return ids, f32(batch, 2, past, 8, seed=seed + 1), f32(batch, 2, past, 8, seed=seed + 2)


def products(network: Network) -> list[Operation]:
    """The products of two activations."""
    return [
        operation
        for operation in network.operations
        if isinstance(operation.layer, MatrixMultiply)
        and not any(x.is_constant for x in operation.inputs)
    ]


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_one_query(precision: str | None) -> None:
    torch.manual_seed(0)
    model, inputs = Cached().eval(), cached(3, 1, 7)
    network = trtdsl.trace(model, inputs, precision=precision)
    prepared = prepared_for(network, standin.load("8.6.1"))
    assert [x.outputs[0].shape[-2:] for x in products(prepared)] == [(8, 1), (8, 1)]
    newer = prepared_for(network, standin.load("10.0.1"))
    assert all(x.outputs[0].shape[-2] == 1 for x in products(newer))
    tolerance = 2e-3 if precision else 1e-5
    for ours, wanted in zip(prepared.evaluate(*inputs), model(*inputs), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=tolerance, atol=tolerance)


def test_a_row_that_lies_as_a_column() -> None:
    class Product(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.baddbmm(torch.zeros(()), a.mT, b.mT)

    a, b = f32(4, 6, 1), f32(4, 5, 6, seed=1)
    network = without_single_rows(trtdsl.trace(Product().eval(), (a, b)))
    assert [x.outputs[0].shape for x in products(network)] == [(4, 5, 1)]
    torch.testing.assert_close(network.evaluate(a, b), a.mT @ b.mT, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("case", "a", "b"),
    [
        ("two rows", (3, 2, 6), (3, 6, 5)),
        ("matrices", (1, 6), (6, 5)),
        ("a vector", (3, 6, 5), (5,)),
    ],
)
def test_products_that_stay(case: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    class Product(nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a @ b

    network = trtdsl.trace(Product().eval(), (f32(*a), f32(*b, seed=1)))
    assert str(without_single_rows(network)) == str(network), case


def negatives(network: Network) -> int:
    return [op.layer for op in network.operations].count(Unary(op=UnaryOperation.NEG))


@pytest.mark.parametrize(("precision", "count"), [(None, 0), ("fp16", 4)])
def test_lengths_that_are_added(precision: str | None, count: int) -> None:
    torch.manual_seed(0)
    model, inputs = Joined().eval(), (f32(2, 16, 32), f32(2, 5, 32, seed=1))
    length = Dim("length", min=2, max=30)
    network = trtdsl.trace(model, inputs, dynamic_shapes=({}, {1: length}), precision=precision)
    prepared = prepared_for(network, standin.load("8.6.1"))
    assert negatives(prepared) == count
    for size in (5, 9):
        given = inputs[0], f32(2, size, 32, seed=2)
        torch.testing.assert_close(
            prepared.evaluate(*given), network.evaluate(*given), rtol=1e-3, atol=1e-3
        )


def test_a_length_by_itself() -> None:
    inputs = f32(2, 16, 32), f32(2, 5, 32, seed=1)
    network = trtdsl.trace(Joined().eval(), inputs, precision="fp16")
    assert negatives(of_added_lengths(network)) == 0
