"""``trtdsl.export.literals``: whole numbers that a module writes out in tensors, and reads."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

import trtdsl
from tests.cases.base import f32
from tests.test_ir import assert_close


class Grid(nn.Module):
    """A model with images' sizes in a tensor that is neither a buffer nor an input."""

    def __init__(self, function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.grid = torch.tensor([[1, 2, 2], [2, 1, 1]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x, self.grid)


def lengths(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """As vision towers do: sums of lengths, and attention within each."""
    ends = torch.repeat_interleave(grid[:, 1] * grid[:, 2], grid[:, 0]).cumsum(0)
    ends = nn.functional.pad(ends, (1, 0))
    parts = x.split((ends[1:] - ends[:-1]).tolist())
    return torch.cat([(p @ p.mT).softmax(-1) @ p for p in parts])


def sides(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    for _, height, width in grid[:1]:
        x = x[:4].reshape(int(height), int(width), 3).flip(0)
    return x


def branch(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    if (torch.arange(3) > 1).any() and grid.max().item() == 2:
        return x + 1
    return x


def written(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """A view of a known tensor is written to, twice, and what it is of read."""
    own = torch.tensor([1, 1, 3])
    first = own[:2]
    first += 1
    own[2:].fill_(1)
    return x[: own.tolist()[0]] * own.sum().item()


def of_values(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """What also depends on an input is not known."""
    counts = torch.tensor([1, 2, 3]) + (x[:3].sum(1) > 0)
    return x[:3] * counts[:, None]


@pytest.mark.parametrize("function", [lengths, sides, branch, written, of_values])
def test_what_does_not_depend_on_an_input_is_read(
    function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> None:
    model = Grid(function).eval()
    network = trtdsl.trace(model, (f32(6, 3),))
    for seed in (0, 1):
        x = f32(6, 3, seed=seed)
        assert_close(network.evaluate(x), model(x), 1e-6)


def test_a_small_buffer_outside_of_the_state_dict_is_read() -> None:
    class Buffer(Grid):
        def __init__(self) -> None:
            super().__init__(lengths)
            del self.grid
            self.register_buffer("grid", torch.tensor([[1, 2, 2], [2, 1, 1]]), persistent=False)

    model, x = Buffer().eval(), f32(6, 3)
    assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x), 1e-6)


def test_what_is_written_is_no_longer_known() -> None:
    def counted(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        grid.add_(1)
        return x[: grid.tolist()[0][0]]

    with pytest.raises(trtdsl.ConversionError, match="updates grid in place"):
        trtdsl.trace(Grid(counted).eval(), (f32(6, 3),))


def test_what_depends_on_an_input_is_refused() -> None:
    def read(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return x + 1 if (grid + (x.sum() > 0)).max() > 2 else x

    with pytest.raises(trtdsl.ConversionError, match="data-dependent"):
        trtdsl.trace(Grid(read).eval(), (f32(6, 3),))


def test_what_is_drawn_is_not_known() -> None:
    def draws(x: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        return x[: torch.randint(1, 6, (3,)).max().item()]

    with pytest.raises(trtdsl.ConversionError):
        trtdsl.trace(Grid(draws).eval(), (f32(6, 3),))


@pytest.mark.parametrize("kind", [torch.IntTensor, torch.LongTensor, torch.BoolTensor])
def test_numbers_of_the_old_types_of_tensors(kind: Callable[[list[int]], torch.Tensor]) -> None:
    module = Grid(lambda x, grid: x[:, : int(kind([1]) * 2)] + kind([1, 0])).eval()
    x = f32(3, 4)
    assert torch.equal(trtdsl.trace(module, (x,)).evaluate(x), module(x))
