"""Where the heads of an attention are found in rows, held against the values there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import pytest
import torch

from tests.cases.base import f32
from trtdsl.ir.elementwise import Unary, UnaryOperation
from trtdsl.ir.slice import Slice
from trtdsl.network import Network, Tensor
from trtdsl.plugins.columns import Columns, columns

Moves: TypeAlias = Callable[[Any], Any]

B, L, N, E = 2, 5, 3, 4
exp = Unary(op=UnaryOperation.EXP)


def part(x: Tensor, axis: int, start: int, count: int) -> Tensor:
    """``x.narrow(axis, start, count)``."""
    shape = [count if i == axis else n for i, n in enumerate(x.shape)]
    begin = [start if i == axis else 0 for i in range(x.rank)]
    return Slice(start=tuple(begin), shape=tuple(shape), stride=(1,) * x.rank)(x)


def split(x: Tensor) -> Tensor:
    return x.reshape(B, L, N, E).permute(0, 2, 1, 3)


# The tensor's shape, its moves to (B, N, L, E), and the first column and the step between heads.
FOUND: dict[str, tuple[tuple[int, ...], Moves, int, int]] = {
    "a linear layer's": ((B, L, N * E), split, 0, E),
    "of a matrix": ((B * L, N * E), split, 0, E),
    "the second of three": ((B, L, 3 * N * E), lambda x: split(part(x, 2, N * E, N * E)), 12, E),
    "unbound": (
        (B, L, 3 * N * E),
        lambda x: part(x.reshape(B, L, 3, N, E).permute(2, 0, 3, 1, 4), 0, 2, 1).reshape(
            B, N, L, E
        ),
        24,
        E,
    ),
    "next to each other": (
        (B, L, N * 3 * E),
        lambda x: part(x.reshape(B, L, N, 3 * E).permute(0, 2, 1, 3), 3, E, E),
        E,
        3 * E,
    ),
    "of a batch of heads": (
        (L, B, N * E),
        lambda x: x.reshape(L, B * N, E).permute(1, 0, 2).reshape(B, N, L, E),
        0,
        E,
    ),
    "every second head": (
        (B, L, 2 * N * E),
        lambda x: Slice(start=(0, 1, 0, 0), shape=(B, N, L, E), stride=(1, 2, 1, 1))(
            x.reshape(B, L, 2 * N, E).permute(0, 2, 1, 3)
        ),
        E,
        2 * E,
    ),
}
LOST: dict[str, tuple[tuple[int, ...], Moves]] = {
    "computed since": ((B, L, N * E), lambda x: exp(split(x))),
    "no moves": ((B, N, L, E), lambda x: x),
    "elements across": (
        (B, L, E * N), lambda x: x.reshape(B, L, E, N).permute(0, 3, 1, 2)
    ),
    "tokens in the columns": ((B, N, L * E), lambda x: x.reshape(B, N, L, E)),
    "turned over": (
        (B, L, N * E),
        lambda x: Slice(start=(0, 0, 0, E - 1), shape=(B, N, L, E), stride=(1, 1, 1, -1))(split(x)),
    ),
}  # fmt: skip


def found(shape: tuple[Any, ...], moves: Moves, net: Network) -> tuple[Columns | None, Tensor]:
    heads = moves(exp(net.input("x", shape)))
    return columns(heads), net.output(heads, "y")


def read(rows: torch.Tensor, place: Columns, batch: int, length: int) -> torch.Tensor:
    """The heads as a kernel reads them."""
    lines = rows.reshape(-1, rows.shape[-1])
    lines = lines.reshape(batch, length, -1) if place.batch_first else (
        lines.reshape(length, batch, -1).transpose(0, 1)
    )  # fmt: skip
    heads = [lines[..., place.first + n * place.stride :][..., :E] for n in range(N)]
    return torch.stack(heads, 1)


@pytest.mark.parametrize("name", FOUND)
def test_heads_are_found_in_rows(name: str) -> None:
    shape, moves, first, stride = FOUND[name]
    net = Network()
    place, _ = found(shape, moves, net)
    assert place is not None
    assert (place.first, place.stride) == (first, stride)
    assert (place.batch_first, place.sequence_first) == (shape[0] != L, shape[0] == L)
    x = f32(*shape)
    assert torch.equal(read(x.exp(), place, B, L), net.evaluate(x))


@pytest.mark.parametrize("name", LOST)
def test_other_heads_are_not(name: str) -> None:
    place, _ = found(*LOST[name], Network())
    assert place is None


def test_rows_of_which_some_are_left_are_those_that_are_left() -> None:
    net = Network()
    cut = part(exp(net.input("x", (B, L + 1, N * E))), 1, 1, L)
    place = columns(split(cut))
    assert place is not None
    assert place.rows is cut


def test_sizes_that_vary() -> None:
    net = Network()
    batch, length = net.dim("b", min=1, opt=2, max=8), net.dim("l", min=1, opt=5, max=9)

    def moves(x: Tensor) -> Tensor:
        parts = x.reshape(batch, length, 3, N, E).permute(2, 0, 3, 1, 4)
        cut = Slice(start=(1, 0, 0, 0, 0), shape=(1, *parts.shape[1:]), stride=(1,) * 5)(parts)
        return cut.reshape(batch, N, length, E)

    place, _ = found((batch, length, 3 * N * E), moves, net)
    assert place is not None
    assert (place.first, place.stride, place.batch_first) == (N * E, E, True)
    assert not place.sequence_first
    for b, n in ((2, 5), (3, 4), (1, 7)):
        x = f32(b, n, 3 * N * E)
        assert torch.equal(read(x.exp(), place, b, n), net.evaluate(x))


def test_one_sequence_is_either_first() -> None:
    net = Network()
    place, _ = found((1, L, N * E), lambda x: x.reshape(1, L, N, E).permute(0, 2, 1, 3), net)
    assert place is not None
    assert place.batch_first
    assert place.sequence_first
