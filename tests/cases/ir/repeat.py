"""Rows of Repeat: the same in a Python loop."""

from __future__ import annotations

import torch

from tests.cases.base import LayerCase, f32
from trtdsl.ir.repeat import Repeat
from trtdsl.network import Network, Tensor
from trtdsl.operators import less
from trtdsl.types import DType


def doubling() -> Repeat:
    """Doubles x and adds y while a counter is below the limit."""
    with Network("body") as body:
        count, x = body.input("count", (), DType.INT32), body.input("x", (2, 3))
        body.input("limit", (), DType.INT32)
        y = body.input("y", (3,))
        body.output(count + 1)
        body.output(x * 2 + y)
    with Network("condition") as condition:
        count = condition.input("count", (), DType.INT32)
        condition.input("x", (2, 3))
        limit = condition.input("limit", (), DType.INT32)
        condition.input("y", (3,))
        condition.output(less(count, limit))
    return Repeat(body=body, condition=condition, carried=2)


def doubled(
    count: torch.Tensor, x: torch.Tensor, limit: torch.Tensor, y: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    for _ in range(int(limit) - int(count)):
        x = x * 2 + y
    return limit.maximum(count), x


def running() -> Repeat:
    """The running sums of rows, each times a factor that changes after every trip."""
    with Network("body") as body:
        total, factor = body.input("total", (3,)), body.input("factor", (1,))
        row, bias = body.input("row", (3,)), body.input("bias", (3,))
        added: Tensor = total + row * factor
        body.output(added)
        body.output(-factor)
        body.output(added + bias)
        body.output(row)
    return Repeat(body=body, carried=2, scanned=1)


def summed(
    total: torch.Tensor, factor: torch.Tensor, rows: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    signs = (-1.0) ** torch.arange(len(rows))[:, None]
    sums = total + (rows * factor * signs).cumsum(0)
    return sums[-1], factor * (-1) ** len(rows), sums + bias, rows


def scalar(value: int) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.int32)


CASES = [
    LayerCase(doubling(), (scalar(0), f32(2, 3), scalar(4), f32(3)), doubled),
    LayerCase(doubling(), (scalar(5), f32(2, 3), scalar(4), f32(3)), doubled, constants=(3,)),
    LayerCase(running(), (f32(3), f32(1), f32(6, 3), f32(3, seed=1)), summed),
]
