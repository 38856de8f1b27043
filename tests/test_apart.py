"""``written_apart``: heads of attention that TensorRT 8.6 would write next to other columns."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import trtdsl
from tests.cases.base import f32
from trtdsl.ir.select import Select
from trtdsl.passes.apart import written_apart
from trtdsl.passes.weakly_typed import without_casts

KINDS = "parallel", "parallel_in_order", "joined", "sequential"


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
            case "joined":
                return x + self.both(torch.cat([y, z], -1))
        x = x + self.out(y)
        return x + self.down(F.gelu(self.up(self.norm(x))))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "count"), [*zip(KINDS, (1, 0, 1, 0), strict=True)])
def test_a_selection_behind_the_heads(kind: str, count: int, bias: bool) -> None:
    torch.manual_seed(0)
    model, x = Block(kind, bias=bias).eval(), f32(2, 8, 32)
    network = written_apart(without_casts(trtdsl.trace(model, (x,))))
    selects = [op for op in network.operations if isinstance(op.layer, Select)]
    assert len(selects) == count
    torch.testing.assert_close(network.evaluate(x), model(x), rtol=1e-5, atol=1e-5)


def test_what_is_not_a_number_stays() -> None:
    model, x = Block().eval(), f32(2, 8, 32)
    x[0, 3, 5] = torch.nan
    network = written_apart(without_casts(trtdsl.trace(model, (f32(2, 8, 32),))))
    assert network.evaluate(x).isnan().equal(model(x).isnan())
