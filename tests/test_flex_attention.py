"""``torch.nn.attention.flex_attention``: scores changed and hidden by functions of single ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim
from torch.nn.attention.flex_attention import (
    BlockMask,
    and_masks,
    create_block_mask,
    flex_attention,
)

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.attention import Attention
from trtdsl.network import Network

pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")


class Model(nn.Module):
    def __init__(self, body: Callable[..., Any]) -> None:
        super().__init__()
        self.body = body
        self.register_buffer("slopes", torch.tensor([0.5, 0.25]))
        self.bias = nn.Parameter(f32(2, 64, 64, seed=9))
        self.register_buffer("document", torch.arange(64) // 7)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Any:
        return self.body(self, q, k, v)


def causal(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return i >= j


def near(b: Tensor, h: Tensor, i: Tensor, j: Tensor) -> Tensor:
    return (i - j).abs() < 5


def changed(change: Callable[..., Tensor], **options: Any) -> Callable[..., Any]:
    """Attention whose scores are changed, by a function that is also given the model."""

    def body(m: Any, q: Tensor, k: Tensor, v: Tensor) -> Any:
        return flex_attention(q, k, v, lambda *of: change(m, *of), **options)

    return body


def hidden(m: Any, q: Tensor, k: Tensor, v: Tensor, mask: Any, heads: int | None = None) -> Any:
    blocks = create_block_mask(mask, None, heads, q.shape[2], k.shape[2], device="cpu")
    return flex_attention(q, k, v, block_mask=blocks)


ONE_OPERATOR: dict[str, Callable[..., Any]] = {
    "plain": lambda m, q, k, v: flex_attention(q, k, v),
    "shared heads": lambda m, q, k, v: flex_attention(
        q, k[:, :1], v[:, :1], enable_gqa=True, scale=0.3
    ),
    "causal": lambda m, q, k, v: hidden(m, q, k, v, causal),
    "window": lambda m, q, k, v: hidden(m, q, k, v, and_masks(causal, near)),
    "documents": lambda m, q, k, v: hidden(
        m, q, k, v, lambda b, h, i, j: m.document[i] == m.document[j]
    ),
    "by head": lambda m, q, k, v: hidden(m, q, k, v, lambda b, h, i, j: (i >= j) | (h > 0), 2),
    "nothing to attend to": lambda m, q, k, v: hidden(m, q, k, v, lambda b, h, i, j: i > j),
}
CHANGED: dict[str, Callable[..., Any]] = {
    "distance": changed(lambda m, c, b, h, i, j: c + (i - j)),
    "slopes": changed(lambda m, c, b, h, i, j: c + m.slopes[h] * (j - i)),
    "table": changed(lambda m, c, b, h, i, j: c + m.bias[h, i, j]),
    "capped": changed(lambda m, c, b, h, i, j: 5 * torch.tanh(c / 5)),
    "hidden by a score": changed(
        lambda m, c, b, h, i, j: torch.where(i >= j, c, -float("inf")) + b
    ),
    "sums": changed(lambda m, c, b, h, i, j: c * 2, return_lse=True),
}
SHAPES = {"batch": Dim("batch", min=1, max=8), "length": Dim("length", min=2, max=64)}


def traced(body: Callable[..., Any], *, dynamic: bool) -> tuple[nn.Module, Network]:
    model, inputs = Model(body).eval(), tuple(f32(2, 2, 16, 8, seed=s) for s in range(3))
    shapes = {x: {0: SHAPES["batch"], 2: SHAPES["length"]} for x in "qkv"} if dynamic else None
    return model, trtdsl.trace(model, inputs, dynamic_shapes=shapes)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("name", [*ONE_OPERATOR, *CHANGED])
def test_scores_and_masks(name: str, dynamic: bool) -> None:
    model, network = traced((ONE_OPERATOR | CHANGED)[name], dynamic=dynamic)
    layers = [operation.layer for operation in network.operations]
    assert any(isinstance(layer, Attention) for layer in layers) is (name in ONE_OPERATOR)
    for batch, length in [(2, 16), (3, 24), (1, 5)] if dynamic else [(2, 16)]:
        inputs = [f32(batch, 2, length, 8, seed=s + length) for s in range(3)]
        pairs = zip(answers(network.evaluate(*inputs)), answers(model(*inputs)), strict=True)
        for y, wanted in pairs:
            torch.testing.assert_close(y, wanted, rtol=1e-5, atol=1e-5)


def test_masks_of_all_heads_are_held_once() -> None:
    _, network = traced(ONE_OPERATOR["causal"], dynamic=False)
    (attention,) = (op for op in network.operations if isinstance(op.layer, Attention))
    assert attention.inputs[3].shape == (1, 1, 16, 16)


def test_a_mask_of_blocks_alone_is_refused() -> None:
    counts, indices = torch.ones(1, 1, 2).int(), torch.zeros(1, 1, 2, 2).int()
    blocks = BlockMask.from_kv_blocks(counts, indices, BLOCK_SIZE=8)
    with pytest.raises(trtdsl.ConversionError, match="blocks of 8 by 8, and no function"):
        traced(lambda m, q, k, v: flex_attention(q, k, v, block_mask=blocks), dynamic=False)


def test_pytorchs_own_functions_are_back() -> None:
    import torch.nn.attention.flex_attention as file

    before = dict(vars(file))
    traced(ONE_OPERATOR["causal"], dynamic=False)
    assert dict(vars(file)) == before
