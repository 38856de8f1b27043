"""Control flow: cond, map, scan, and what has no fixed number of steps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._higher_order_ops.map import map as mapped
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers, assert_close

# PyTorch's own, when it copies and traces nested graphs.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


class Branches(nn.Module):
    """A branch with weights and one without, by the values or by the size of x."""

    def __init__(self, by_size: bool) -> None:
        super().__init__()
        self.by_size = by_size
        self.linear = nn.Linear(4, 4)
        with torch.no_grad():
            self.linear.weight.copy_(f32(4, 4))
            self.linear.bias.copy_(f32(4))
        self.eval()

    def forward(self, x: torch.Tensor) -> Any:
        condition = x.shape[0] > 3 if self.by_size else x.sum() > 0
        yes, no = lambda a: (self.linear(a), a.sum()), lambda a: (a.cos() + 1, a.mean() * 2)
        if self.by_size and not torch.compiler.is_exporting():
            return yes(x) if condition else no(x)
        return torch.cond(condition, yes, no, (x,))


def same(network: trtdsl.Network, model: nn.Module, *inputs: torch.Tensor) -> None:
    for ours, theirs in zip(
        answers(network.evaluate(*inputs)), answers(model(*inputs)), strict=True
    ):
        assert_close(ours, theirs, 1e-5)


def test_a_branch_by_values_is_chosen_when_it_runs() -> None:
    model = Branches(by_size=False)
    network = trtdsl.trace(model, (f32(3, 4),))
    for x in (f32(3, 4).abs(), -f32(3, 4).abs(), torch.zeros(3, 4)):
        same(network, model, x)


def test_a_branch_by_size_is_chosen_when_it_runs() -> None:
    model, n = Branches(by_size=True), Dim("n", min=2, max=9)
    network = trtdsl.trace(model, (f32(3, 4),), dynamic_shapes={"x": {0: n}})
    for size in (2, 3, 4, 9):
        same(network, model, f32(size, 4))


class Steps(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        doubled = mapped(lambda row, z: row.sin() * 2 + z, x, y)
        total, products = scan(lambda c, row: (c + row, c * row), y, x)
        return doubled, total, products


def test_trips_are_written_out() -> None:
    for rows in (1, 5):
        inputs = f32(rows, 4), f32(4)
        same(trtdsl.trace(Steps().eval(), inputs), Steps(), *inputs)


def test_trips_of_no_fixed_number_are_refused() -> None:
    n = Dim("n", min=2, max=9)
    with pytest.raises(trtdsl.ConversionError, match="over n slices of") as caught:
        trtdsl.trace(Steps().eval(), (f32(3, 4), f32(4)), dynamic_shapes={"x": {0: n}, "y": None})
    assert "fix: give that axis a fixed size" in str(caught.value)


class Repeats(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return while_loop(lambda a: a.sum() < 5, lambda a: (a * 2,), (x,))


def test_a_loop_that_values_end_is_refused() -> None:
    with pytest.raises(trtdsl.ConversionError, match="how often it runs depends") as caught:
        trtdsl.trace(Repeats().eval(), (f32(3).abs(),))
    assert "fix: a Python loop of a fixed number of trips" in str(caught.value)


class Mapped(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.vmap(lambda row: row * y + row.sum())(x)


def test_vmap_is_what_it_computes() -> None:
    inputs, n = (f32(3, 4), f32(4)), Dim("n", min=2, max=9)
    network = trtdsl.trace(Mapped().eval(), inputs, dynamic_shapes={"x": {0: n}, "y": None})
    same(network, Mapped(), f32(7, 4), f32(4))


@pytest.mark.parametrize(
    "branch",
    [lambda x: x if x.sum() > 0 else -x, lambda x: x * 2 if bool(x.any()) else x,
     lambda x: x[: int(x.sum())]],
)  # fmt: skip
def test_python_branches_on_values_are_refused_at_their_line(
    branch: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    class Decides(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return branch(x)

    with pytest.raises(trtdsl.ConversionError, match=r"torch\.export cannot capture") as caught:
        trtdsl.trace(Decides().eval(), (f32(4).abs(),))
    message = str(caught.value)
    assert f"{__file__}:" in message
    assert "choose with torch.where" in message
    assert "def forward" not in capfd.readouterr().err  # the graph, which PyTorch prints
