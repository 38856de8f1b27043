"""Control flow: cond, map, scan, and loops of no fixed number of trips."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch._higher_order_ops.associative_scan import associative_scan
from torch._higher_order_ops.map import map as mapped
from torch._higher_order_ops.scan import scan
from torch._higher_order_ops.while_loop import while_loop
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32
from tests.test_ir import answers, assert_close
from tests.test_lowering import lowered
from trtdsl.ir.repeat import Repeat
from trtdsl.network_digest import engine_key
from trtdsl.passes.prepared import prepared_for
from trtdsl.reference import run
from trtdsl.runtime.device import Gpu

GPU = Gpu(index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=1)

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


def repeats(network: trtdsl.Network) -> int:
    return sum(isinstance(op.layer, Repeat) for op in network.operations)


def lowers(network: trtdsl.Network, *kinds: str) -> None:
    """The network lowers for every release, twice with the same names, which are distinct."""
    for version in standin.VERSIONS:
        first, second = (
            [(type(layer).__name__, getattr(layer, "name", "")) for layer in made.created]
            for made in (lowered(network, version), lowered(network, version))
        )
        assert first == second
        assert len({name for _, name in first}) == len(first)
        assert {kind for kind in kinds if kind.startswith("I")} <= {kind for kind, _ in first}


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


def test_trips_of_any_number_are_a_loop() -> None:
    n = Dim("n", min=2, max=50)
    shapes = {"x": {0: n}, "y": None}
    network = trtdsl.trace(Steps().eval(), (f32(3, 4), f32(4)), dynamic_shapes=shapes)
    assert repeats(network) == 2
    for rows in (2, 3, 40):
        same(network, Steps(), f32(rows, 4), f32(4))
    assert repeats(trtdsl.trace(Steps().eval(), (f32(40, 4), f32(4)))) == 2
    lowers(network, "ITripLimitLayer", "IIteratorLayer")


class Recurrence(nn.Module):
    """A cell with weights along a sequence of any length and batch, in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(3, 3)
        with torch.no_grad():
            self.cell.weight.copy_(f32(3, 3))
            self.cell.bias.copy_(f32(3))
        self.eval()

    def forward(self, x: torch.Tensor) -> Any:
        start = torch.zeros(x.shape[1], 3)
        step = lambda c, row: ((c + self.cell(row)).tanh(), c * row.shape[0])  # noqa: E731
        return scan(step, start, x), scan(step, start, x, reverse=True)[1]


def test_a_loop_of_a_size_of_the_run_with_weights() -> None:
    n, b = Dim("n", min=2, max=50), Dim("b", min=1, max=9)
    model = Recurrence()
    network = trtdsl.trace(model, (f32(4, 5, 3),), dynamic_shapes={"x": {0: n, 1: b}})
    half = trtdsl.trace(
        model, (f32(4, 5, 3),), dynamic_shapes={"x": {0: n, 1: b}}, precision="fp16"
    )
    exact = prepared_for(network, standin.load(standin.VERSIONS[0]))
    for rows, batch in ((4, 5), (31, 2)):
        x = f32(rows, batch, 3)
        (total, outputs), back = model(x)
        for net in (network, half, exact):
            actual = run(net, [x])
            for ours, theirs in zip(actual, (total, outputs, back), strict=True):
                assert_close(ours, theirs, 1e-5)


class Repeats(nn.Module):
    """Doubles until a sum is reached, and counts how often."""

    def __init__(self, limit: float = 50.0) -> None:
        super().__init__()
        self.register_buffer("limit", torch.tensor(limit))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
        body = lambda i, a: (i + 1, a * 2 + y * a.shape[0])  # noqa: E731
        start = torch.tensor(0), x * 1
        count, doubled = while_loop(lambda i, a: (a.sum() < self.limit) & (i < 20), body, start)
        return doubled - 1, count


def test_a_loop_that_values_end() -> None:
    model, n = Repeats().eval(), Dim("n", min=2, max=9)
    inputs, shapes = (f32(3, 4).abs(), f32(4).abs()), {"x": {0: n}, "y": None}
    network = trtdsl.trace(model, inputs, dynamic_shapes=shapes)
    for x in (f32(3, 4).abs(), f32(7, 4).abs() / 9, torch.full((2, 4), 99.0), -f32(2, 4).abs()):
        same(network, model, x, f32(4).abs())
    lowers(network, "ITripLimitLayer", "IRecurrenceLayer", "ILoopOutputLayer")
    shown = str(network)
    assert "Repeat(carried=2)" in shown
    assert "while: 4 inputs" in shown
    assert "ElementWise(op=prod)(x1, 2)" in shown


def test_loops_are_told_apart_by_what_they_compute() -> None:
    inputs = f32(3, 4).abs(), f32(4).abs()
    digests = set()
    for limit in (50.0, 50.0, 60.0):
        network = trtdsl.trace(Repeats(limit).eval(), inputs)
        digests.add(engine_key(network, {}, "8.6.1", GPU))
    assert len(digests) == 2


def test_what_a_loop_cannot_carry_is_refused() -> None:
    class Counts(nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return while_loop(lambda i, a: i < 5, lambda i, a: (i + 1, a * 2), (0, x))[1]

    with pytest.raises(trtdsl.ConversionError, match="carries the number 0") as caught:
        trtdsl.trace(Counts().eval(), (f32(3),))
    assert "fix: carry tensors of real numbers: torch.tensor(0)" in str(caught.value)


class Accumulates(nn.Module):
    def forward(self, x: torch.Tensor) -> Any:
        return associative_scan(lambda a, b: a * b + b.sin(), x, dim=0, combine_mode="generic")


def test_an_associative_scan_is_written_out() -> None:
    network = trtdsl.trace(Accumulates().eval(), (f32(5, 3),))
    same(network, Accumulates(), f32(5, 3))


class Mapped(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return torch.vmap(lambda row: row * y + row.sum())(x)


def test_vmap_is_what_it_computes() -> None:
    inputs, n = (f32(3, 4), f32(4)), Dim("n", min=2, max=9)
    network = trtdsl.trace(Mapped().eval(), inputs, dynamic_shapes={"x": {0: n}, "y": None})
    same(network, Mapped(), f32(7, 4), f32(4))


@pytest.mark.parametrize(
    "branch",
    [lambda x: x if x.sum() > 0 else -x, lambda x: x * 2 if bool(x.any()) else x],
)
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
