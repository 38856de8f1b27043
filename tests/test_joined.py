"""``turned_by_products``: keys joined of parts and transposed, by the product instead."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.matmul import MatrixMultiply, MatrixOperation
from trtdsl.network import Network
from trtdsl.passes.joined import turned_by_products
from trtdsl.passes.weakly_typed import without_casts

TURNED = MatrixOperation.TRANSPOSE
PLAIN = MatrixOperation.NONE


def read_as(network: Network) -> list[tuple[MatrixOperation, MatrixOperation]]:
    layers = [operation.layer for operation in network.operations]
    return [(x.op0, x.op1) for x in layers if isinstance(x, MatrixMultiply)]


class PartlyTurned(nn.Module):
    """Attention whose first four elements of a head are turned by their positions (GPT-NeoX)."""

    def __init__(self, length: int = 6) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(length).float(), torch.tensor([1.0, 0.1]))
        self.register_buffer("cos", angles.cos().repeat(1, 2))
        self.register_buffer("sin", angles.sin().repeat(1, 2))

    def turned(self, x: torch.Tensor) -> torch.Tensor:
        part, rest = x[..., :4], x[..., 4:]
        a, b = part.chunk(2, -1)
        part = part * self.cos + torch.cat([-b, a], -1) * self.sin
        return torch.cat([part, rest], -1)

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(self.turned(q), self.turned(k), v)


class Eager(PartlyTurned):
    """The same with products of its own, as models have it that know no other attention."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scores = self.turned(q) @ (self.turned(k).transpose(-1, -2) / 8**0.5)
        return scores.softmax(-1) @ v


class Cached(nn.Module):
    """Keys behind those of earlier steps, laid out as the projections give them."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        keys = torch.cat([v, k], 2).permute(1, 0, 3, 2)
        return q.permute(1, 0, 2, 3) @ keys


class Queries(PartlyTurned):
    """A transposed first factor."""

    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.turned(q).mT @ k


class Unjoined(nn.Module):
    def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v)


@pytest.mark.parametrize(
    ("model", "wanted"),
    [
        (PartlyTurned(), [(PLAIN, TURNED), (PLAIN, PLAIN)]),
        (Eager(), [(PLAIN, TURNED), (PLAIN, PLAIN)]),
        (Cached(), [(PLAIN, TURNED)]),
        (Queries(), [(TURNED, PLAIN)]),
        (Unjoined(), [(PLAIN, PLAIN), (PLAIN, PLAIN)]),
    ],
)
@pytest.mark.parametrize("precision", [None, "fp16"])
def test_joined_factors_are_transposed_by_the_product(
    model: nn.Module, wanted: list[tuple[MatrixOperation, MatrixOperation]], precision: str | None
) -> None:
    inputs = tuple(f32(2, 3, 6, 8, seed=seed) for seed in range(3))
    network = without_casts(trtdsl.trace(model.eval(), inputs, precision=precision))
    turned = turned_by_products(network)
    assert read_as(turned) == wanted
    torch.testing.assert_close(
        turned.evaluate(*inputs), model(*inputs), rtol=0, atol=1e-5 if precision is None else 4e-2
    )
    torch.testing.assert_close(turned.evaluate(*inputs), network.evaluate(*inputs), rtol=0, atol=0)
