"""Losses that want the score of the right class above all others by a margin."""

from __future__ import annotations

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.shuffle import Unsqueeze
from trtdsl.network import Scalar, Tensor
from trtdsl.operators import less, maximum, where
from trtdsl.registry import converter
from trtdsl.types import DType

from .creation import iota
from .indexing import gather, index_select
from .reduction import mean, sum_, sum_dim
from .scan import cumsum

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.multi_margin_loss.default)
def multi_margin_loss(
    x: Tensor,
    target: Tensor,
    p: Scalar = 1,
    margin: Scalar = 1,
    weight: Tensor | None = None,
    reduction: int = 1,
) -> Tensor:
    """``sum(max(0, margin - x[y] + x[i]) ** p) / C`` over i != y: ``(N, C), (N,)``, or of one."""
    _require_shape("multi_margin_loss", x, reduction)
    if x.rank < 2:  # one sample; a number is one class of it
        x, target = x.reshape(-1), target.reshape()
    places = Unsqueeze(axes=(target.rank,))(target)
    classes = iota(x.network, x.shape[-1])
    loss = maximum(gather(x, -1, places) * -1 + x + margin, 0)
    loss = loss * loss if p == 2 else loss
    if weight is not None:
        own = index_select(weight.reshape(-1), 0, target.reshape(-1))
        loss = loss * own.reshape(*places.shape)
    loss = where(classes.cast(DType.INT64).equal(places), 0, loss, x.dtype)
    return _reduced(sum_dim(loss, [-1]) / x.shape[-1], reduction)


@converter(aten.multilabel_margin_loss.default)
def multilabel_margin_loss(x: Tensor, target: Tensor, reduction: int = 1) -> Tensor:
    """``sum(max(0, 1 - x[y] + x[i])) / C`` over the y in target and the i that are not.

    ``(N, C), (N, C)``, or of one; targets count up to the first -1.
    """
    _require_shape("multilabel_margin_loss", x, reduction)
    if x.rank == 0:  # a number is one class
        x, target = x.reshape(1), target.reshape(1)
    ended = cumsum(less(target, 0).cast(DType.INT64), -1) > 0
    counts = Unsqueeze(axes=(x.rank,))(~ended)
    chosen = Unsqueeze(axes=(x.rank,))(target).equal(iota(x.network, x.shape[-1]))
    wrong = sum_dim((chosen & counts).cast(DType.INT32), [-2], True).equal(0)
    scores = Unsqueeze(axes=(x.rank,))(gather(x, -1, maximum(target, 0)))
    loss = maximum(1 - scores + Unsqueeze(axes=(x.rank - 1,))(x), 0)
    loss = where(counts & wrong, loss, 0, x.dtype)
    return _reduced(sum_dim(loss, [-2, -1]) / x.shape[-1], reduction)


def _reduced(loss: Tensor, reduction: int) -> Tensor:
    """The losses of all samples as they are, their mean, or their sum."""
    if reduction == 0 or loss.rank == 0:
        return loss
    return mean(loss) if reduction == 1 else sum_(loss)


def _require_shape(what: str, x: Tensor, reduction: int) -> None:
    if reduction == 0 and x.rank < 2:
        raise ConversionError(
            explain(
                f"{what} of one sample without reduction, of which PyTorch's export has another "
                "shape",
                fix="leave reduction='none' out: the mean of one loss is the loss",
            )
        )
