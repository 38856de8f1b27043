"""Functions that torch.export cannot capture as they are, static and with sizes of the run."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.export import Dim
from torch.nn.functional import l1_loss

import trtdsl
from tests.cases.base import f32, i64
from tests.test_ir import answers, assert_close


class Calls(nn.Module):
    def __init__(self, function: Callable[..., object]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> object:
        return self.function(x)


WEIGHTS, COUNTS = f32(4, low=0.1), i64(4, low=1, high=5)
KERNEL = f32(3, 4, 4)
TABLE = f32(4, 5)

OF_ROWS = [
    lambda x: torch.cov(x),
    lambda x: x.cov(correction=0),
    lambda x: torch.cov(x[0]),
    lambda x: torch.cov((x * 9).int()),
    lambda x: torch.cov(x, fweights=COUNTS),
    lambda x: torch.cov(x, aweights=WEIGHTS),
    lambda x: torch.cov(x, fweights=COUNTS, aweights=WEIGHTS, correction=2),
    lambda x: torch.corrcoef(x),
    lambda x: x[0].corrcoef(),
    lambda x: torch.combinations(x[0]),
    lambda x: torch.combinations(x[0], 3, with_replacement=True),
    lambda x: x.data * 2,
    lambda x: torch.linspace(-1, 1, x.shape[0]),
    lambda x: torch.linspace(0.5, x.shape[0] - 0.5, x.shape[0], dtype=x.dtype) + x[:, 0],
    lambda x: torch.linspace(1, 20, steps=x.shape[0], dtype=torch.int64),
    lambda x: torch.logspace(0, 1, x.shape[0]),
    lambda x: F.one_hot(torch.arange(x.shape[0]), x.shape[0]),
    lambda x: torch.as_tensor(x.shape[0]) * x,
    lambda x: F.embedding((x * 2).long() % 4, TABLE.clone(), max_norm=0.7),
    lambda x: F.embedding_bag((x * 2).long() % 4, TABLE.clone(), max_norm=2.0, norm_type=1.0),
    lambda x: torch.as_tensor(x.shape) + x.sum().long(),
    lambda x: torch.as_tensor([[x.shape[0], 2], [0.5, x.shape[0] / 3]], device=x.device) * x[0, 0],
    lambda x: x.new_tensor(x.shape[0]) * x,
    lambda x: x.new_tensor([x.shape[0], 3], dtype=torch.int32),
    lambda x: torch.vmap(torch.vmap(lambda n: 2 * n))(x),
    lambda x: torch.vmap(lambda row: (row, row[:, None] * 2), out_dims=(1, -1))(x),
    lambda x: torch.vmap(torch.vmap(lambda n: n * 3, out_dims=0), out_dims=1)(x),
    lambda x: torch.vmap(lambda row, i: row * (i - 1.5))(x, torch.arange(x.shape[0])),
    lambda x: torch.cdist(x, x + 1),
    lambda x: F.max_pool1d(x.T, 3, 2, 1),
    lambda x: nn.MaxPool1d(2, 1)(x.T[None]),
    lambda x: torch.conv_tbc(x[:, None], KERNEL, WEIGHTS, 1),
    lambda x: torch.isin(x, x[::2] + 0.0),
    lambda x: torch.isin((x * 5).long(), COUNTS, invert=True),
    lambda x: torch.isin((x * 5).long(), torch.arange(40)),
    lambda x: torch.isin((x * 5).long(), 3),
    lambda x: torch.isin(3, (x * 5).long()),
    lambda x: x.chunk(2),
    lambda x: torch.chunk(x, chunks=2, dim=0)[1],
    lambda x: x.chunk(3, 1)[-1],
    lambda x: torch.cat(x.chunk(9, -1), 0),
    lambda x: torch.einsum("ij,kj,k->ij", x, x.sin(), x[:, 0]),
    lambda x: torch.einsum(x, [0, 1], TABLE, [1, 2], WEIGHTS, [1], [0, 2]),
    lambda x: x / math.sqrt(x.shape[0]),
    lambda x: F.pad(x, (0, 0, 0, 40 - x.shape[0])),
    lambda x: F.affine_grid(x[:2, :3][None], [1, 1, x.shape[0], 5], align_corners=False),
    lambda x: F.affine_grid(x[:2, :3][None], torch.Size([1, 1, 7, x.shape[0]]), align_corners=True),
    lambda x: F.affine_grid(x[None, :3], (1, 1, 2, x.shape[0], 3), align_corners=True),
    lambda x: torch.distributions.Normal(x, x.exp()).log_prob(x + 1),
    lambda x: torch.distributions.Categorical(logits=x).entropy(),
    lambda x: F.avg_pool2d(x[None], x.size()),
    lambda x: F.avg_pool2d(x[None], kernel_size=(x.shape[0], 4)),
    lambda x: F.max_pool2d(x[None, None], x.shape, stride=1),
]  # fmt: skip


@pytest.mark.parametrize("function", OF_ROWS)
def test_functions_answer_as_pytorch_does(function: Callable[..., object]) -> None:
    model, x = Calls(function).eval(), f32(5, 4)
    network = trtdsl.trace(model, (x,))
    rows = {"x": {0: Dim("rows", min=3, max=40)}}
    dynamic = trtdsl.trace(model, (x,), dynamic_shapes=rows)
    for net, size in ((network, 5), (dynamic, 5), (dynamic, 3), (dynamic, 31)):
        x = f32(size, 4, seed=size)
        for ours, theirs in zip(answers(net.evaluate(x)), answers(model(x)), strict=True):
            assert_close(ours, theirs, 2e-5)


LOSSES = [
    lambda x, y, w: F.l1_loss(x, y, weight=w),
    lambda x, y, w: l1_loss(x, y, reduction="none", weight=w),
    lambda x, y, w: l1_loss(x, y, reduction="sum", weight=w),
    lambda x, y, w: nn.L1Loss(reduction="none")(x, y),
    lambda x, y, w: F.mse_loss(x, y, weight=w),
    lambda x, y, w: F.huber_loss(x, y, weight=w, delta=0.3),
    lambda x, y, w: F.gaussian_nll_loss(x, y, w),
    lambda x, y, w: F.gaussian_nll_loss(x, y, w[:, :1], full=True, reduction="none"),
    lambda x, y, w: F.gaussian_nll_loss(x, y, w[:, 0], eps=0.4, reduction="sum"),
    lambda x, y, w: nn.GaussianNLLLoss(full=True)(x, y, 0.3),
]


@pytest.mark.parametrize("function", LOSSES)
def test_losses_count_all_that_they_are_given(function: Callable[..., object]) -> None:
    class Loss(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor, w: torch.Tensor) -> object:
            return function(x, y, w)

    rows, inputs = Dim("rows", min=3, max=40), (f32(5, 4), f32(5, 4, seed=1), f32(5, 4, low=0.1))
    shapes = {name: {0: rows} for name in "xyw"}
    for specs in (None, shapes):
        network = trtdsl.trace(Loss().eval(), inputs, dynamic_shapes=specs)
        assert_close(network.evaluate(*inputs), Loss()(*inputs), 1e-5)


def test_parts_whose_number_depends_on_the_size_are_refused() -> None:
    model, rows = Calls(lambda x: x.chunk(3)), {"x": {0: Dim("rows", min=3, max=40)}}
    with pytest.raises(trtdsl.ConversionError, match=r"< rows, and rows = 4 are in the ranges"):
        trtdsl.trace(model.eval(), (f32(5, 4),), dynamic_shapes=rows)


def test_functions_are_pytorch_s_own_again_behind() -> None:
    square_root, truth, code = math.sqrt, torch.SymBool.__bool__, F.l1_loss.__code__
    trtdsl.trace(Calls(torch.cov).eval(), (f32(5, 4),))
    assert math.sqrt is square_root
    assert torch.SymBool.__bool__ is truth
    assert F.l1_loss.__code__ is code


class Masked(nn.Module):
    """A decoder with the causal mask, which PyTorch would look at to find out that it is that."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Transformer(16, 2, 1, 1, 32, batch_first=True)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        causal = nn.Transformer.generate_square_subsequent_mask(y.shape[1])
        return self.model(x, y, tgt_mask=causal)


def test_a_mask_is_applied_whether_it_is_causal_or_not() -> None:
    model = Masked().eval()
    shapes = {"x": {1: Dim("words", min=2, max=9)}, "y": {1: Dim("said", min=2, max=9)}}
    network = trtdsl.trace(model, (f32(2, 5, 16), f32(2, 4, 16)), dynamic_shapes=shapes)
    for words, said in ((5, 4), (2, 9)):
        inputs = f32(2, words, 16), f32(2, said, 16)
        assert_close(network.evaluate(*inputs), model(*inputs), 1e-5)
