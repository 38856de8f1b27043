"""``unrounded``: float32 outputs that are not rounded to float16 in their last step."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.cast import Cast
from trtdsl.network import Network
from trtdsl.passes.late_casts import unrounded
from trtdsl.types import DType

X = f32(3, 4, 16)


class Ending(nn.Module):
    """A linear layer, and what comes after it."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.linear, self.norm = nn.Linear(16, 16), nn.LayerNorm(16)
        self.scale = nn.Parameter(f32(16, low=0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        y = self.linear(x)
        match self.kind:
            case "scaled":
                return y.relu() * self.scale
            case "moved":
                return (y.relu() * self.scale).transpose(1, 2)[:, 1:]
            case "norm":
                return self.norm(y)
            case "twice":
                z = y.relu() * self.scale
                return z, self.linear(z)
        return y


def last_dtypes(network: Network) -> list[DType]:
    """The dtypes of what functions of elements, norms and products gave last."""
    found = []
    for y in network.outputs:
        while y.producer is not None and len(y.producer.inputs) == 1:
            (x,) = y.producer.inputs
            if isinstance(y.producer.layer, Cast) and x.dtype is DType.FLOAT16:
                found.append(DType.FLOAT16)
                break
            y = x
        else:
            found.append(y.dtype)
    return found


@pytest.mark.parametrize("kind", ["scaled", "moved", "norm"])
def test_the_last_step_is_in_float32(kind: str) -> None:
    model = Ending(kind).eval()
    traced = trtdsl.trace(model, (X,), precision="fp16")
    network = unrounded(traced)
    assert last_dtypes(traced) == [DType.FLOAT16]
    assert last_dtypes(network) == [DType.FLOAT32]
    want = model(X)
    ours, before = (answers(n.evaluate(X))[0] for n in (network, traced))
    assert (ours - want).norm() <= (before - want).norm()
    torch.testing.assert_close(ours, want, rtol=2e-3, atol=2e-3)
    assert not torch.equal(ours, ours.half().float())


def test_a_product_stays() -> None:
    traced = trtdsl.trace(Ending("product").eval(), (X,), precision="fp16")
    assert str(unrounded(traced)) == str(traced)


def test_what_is_read_again_is_rounded_for_that() -> None:
    model = Ending("twice").eval()
    network = unrounded(trtdsl.trace(model, (X,), precision="fp16"))
    assert last_dtypes(network) == [DType.FLOAT32, DType.FLOAT16]
    for ours, wanted in zip(answers(network.evaluate(X)), model(X), strict=True):
        torch.testing.assert_close(ours, wanted, rtol=4e-3, atol=4e-3)


def test_other_precisions_stay() -> None:
    for precision in (None, "bf16"):
        traced = trtdsl.trace(Ending("scaled").eval(), (X,), precision=precision)
        assert str(unrounded(traced)) == str(traced)
