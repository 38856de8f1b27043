"""What a model was captured under: of sizes it holds in all ranges, of values a warning tells."""

from __future__ import annotations

import operator

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.asserting import Asserting
from tests.cases.base import f32
from trtdsl.errors import ConversionError


class Branch(nn.Module):
    """Doubles small inputs and triples large ones."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] * x.shape[1] > 100:
            return x * 3
        return x * 2


class Promise(nn.Module):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[0] * y.shape[0] < 900)
        return x.sum() + y


class Value(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._assert_async((x.sum() < 100), "too much of it")
        return x * 2


class Found(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.nonzero()


def sizes(*maxima: int) -> dict[str, dict[int, Dim]]:
    return {"x": {i: Dim(f"n{i}", min=1, max=m) for i, m in enumerate(maxima)}}


def test_a_branch_that_some_sizes_would_not_take_is_refused() -> None:
    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(Branch().eval(), (f32(4, 6),), dynamic_shapes=sizes(32, 30))
    message = str(caught.value)
    assert "captured for sizes with n0*n1 <= 100" in message
    assert "and n0 = 4, n1 = 26 are in the ranges too" in message
    assert "if x.shape[0] * x.shape[1] > 100" in message
    assert "fix: narrow the ranges" in message


def test_a_branch_that_all_sizes_take_is_none() -> None:
    network = trtdsl.trace(Branch().eval(), (f32(4, 6),), dynamic_shapes=sizes(10, 10))
    for shape in ((1, 1), (2, 7), (10, 10)):
        x = f32(*shape)
        assert torch.equal(network.evaluate(x), x * 2)


def test_a_promise_of_sizes_has_to_hold_in_their_ranges() -> None:
    def trace(most: int) -> trtdsl.Network:
        shapes = {"x": {0: Dim("a", min=1, max=most)}, "y": {0: Dim("b", min=1, max=most)}}
        return trtdsl.trace(Promise().eval(), (f32(4, 6), f32(4)), dynamic_shapes=shapes)

    with pytest.raises(ConversionError, match=r"captured for sizes with a\*b < 900"):
        trace(32)
    assert trace(29).symbols["a"].max == 29


def test_an_exported_program_is_held_too() -> None:
    shapes = {"x": {0: Dim("n0", max=32), 1: Dim("n1", max=30)}}
    program = torch.export.export(Branch().eval(), (f32(4, 6),), dynamic_shapes=shapes)
    with pytest.raises(ConversionError, match="captured for sizes with"):
        trtdsl.trace(program)


def test_an_assertion_of_values_is_told_and_not_checked() -> None:
    with pytest.warns(trtdsl.UncheckedWarning, match="too much of it(.|\n)*test_asserted.py"):
        network = trtdsl.trace(Value().eval(), (f32(4, 6),))
    x = f32(4, 6) * 1e3
    assert torch.equal(network.evaluate(x), x * 2)


def test_an_assert_of_python_s_is_a_promise_as_torch_check_is() -> None:
    model, x = Asserting().eval(), f32(2, 5)
    with pytest.warns(trtdsl.UncheckedWarning, match="of values(.|\n)*asserting.py"):
        network = trtdsl.trace(model, (x, torch.tensor([1, 5])))
    given = x, torch.tensor([2, 3])
    assert torch.equal(network.evaluate(*given), model(*given))


def test_how_much_is_found_needs_no_word() -> None:
    x = f32(4, 6).relu()
    assert torch.equal(trtdsl.trace(Found().eval(), (x,)).evaluate(x), x.nonzero())


class Parity(nn.Module):
    """Takes one branch where ``(n * n) % modulus`` is 1, which no algebra rules out."""

    def __init__(self, modulus: int) -> None:
        super().__init__()
        self.modulus = modulus
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n = x.shape[0]
        return x + 1 if (n * n) % self.modulus == 1 else x - 1


def test_conditions_that_torch_export_cannot_prove_are_tried() -> None:
    n = Dim("n", min=2, max=7)
    network = trtdsl.trace(Parity(3 * 13), (f32(3),), dynamic_shapes=({0: n},))
    for size in (2, 3, 7):
        assert torch.equal(network.evaluate(f32(size)), f32(size) - 1)


def test_a_size_that_breaks_what_torch_export_cannot_prove_is_told() -> None:
    n = Dim("n", min=2, max=7)
    with pytest.raises(ConversionError, match="n = 6 are in the ranges") as caught:
        trtdsl.trace(Parity(7), (f32(3),), dynamic_shapes=({0: n},))
    assert "if (n * n) % self.modulus == 1" in str(caught.value)


class Halves(nn.Module):
    """The first half of the rows, which ``index`` makes a number of rows."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[: operator.index(x.shape[0] // 2)]


def test_a_size_that_became_a_number_on_the_way_is_told() -> None:
    multiple = {"x": {0: 4 * Dim("n", min=2, max=8)}}
    with pytest.raises(ConversionError, match=r"n = 2 are in the ranges") as caught:
        trtdsl.trace(Halves().eval(), (f32(12),), dynamic_shapes=multiple)
    assert "return x[: operator.index(x.shape[0] // 2)]" in str(caught.value)


class Strided(nn.Module):
    """Halves its input three times; ``ask`` does so by a branch of its own."""

    def __init__(self, ask: str = "") -> None:
        super().__init__()
        self.ask = ask

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(3):
            x = nn.functional.max_pool2d(x, 3, 2, 1)
        if self.ask == "branch" and x.shape[2] == 1:
            return x.flatten(2) * 100
        if self.ask == "check":
            torch._check(x.shape[2] != 1)
        if self.ask == "squeeze":
            return x.squeeze().flatten(1) + 1
        return x.flatten(2) + 1


def test_a_size_of_one_that_only_pytorch_asks_for_is_one_of_many() -> None:
    h = Dim("h", min=2, max=40)
    network = trtdsl.trace(Strided().eval(), (f32(2, 3, 32, 9),), dynamic_shapes={"x": {2: h}})
    for size in (2, 8, 9, 33):
        x = f32(2, 3, size, 9)
        assert torch.equal(network.evaluate(x), Strided()(x))


@pytest.mark.parametrize("ask", ["branch", "check", "squeeze"])
def test_a_size_of_one_that_the_model_asks_for_is_told(ask: str) -> None:
    h = {"x": {2: Dim("h", min=2, max=40)}}
    with pytest.raises(ConversionError, match="h = 2 are in the ranges"):
        trtdsl.trace(Strided(ask).eval(), (f32(2, 3, 32, 9),), dynamic_shapes=h)


def test_an_example_inside_of_which_something_is_1_is_told() -> None:
    h = Dim("h", min=1, max=5)
    model, shapes = Strided().eval(), {"x": {2: 8 * h}}
    with pytest.raises(ConversionError, match="a larger example input"):
        trtdsl.trace(model, (f32(2, 3, 8, 9),), dynamic_shapes={"x": {2: 4 * h}})
    network = trtdsl.trace(model, (f32(2, 3, 24, 9),), dynamic_shapes=shapes)
    for size in (16, 40):
        x = f32(2, 3, size, 9)
        assert torch.equal(network.evaluate(x), Strided()(x))


class Numbers(nn.Module):
    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        match self.way:
            case "index":
                return x / operator.index(x.shape[0])
            case "loop":
                return torch.stack([x[i] * i for i in range(x.shape[0])])
            case "pad":
                return nn.functional.pad(x.mT, (3, 3), mode="reflect")
        return x + torch.ones(4, 1)


@pytest.mark.parametrize(
    ("way", "what", "line", "fix"),
    [
        (
            "index",
            "makes the number 4 of the size n",
            "return x / operator.index(x.shape[0])",
            "leave n out",
        ),
        ("loop", "makes the number 4 of the size n", "range(x.shape[0])", "int()"),
        ("ones", "makes the number 4 of the size n", "return x + torch.ones(4, 1)", "a tensor of"),
        ("pad", "4 <= x.shape[0] and x.shape[0] <= 9", "", "fix: n = Dim('n', min=4, max=9)"),
    ],
)
def test_why_a_size_cannot_be_dynamic(way: str, what: str, line: str, fix: str) -> None:
    n = {"x": {0: Dim("n", min=2, max=9)}}
    with pytest.raises(ConversionError) as caught:
        trtdsl.trace(Numbers(way).eval(), (f32(4, 3),), dynamic_shapes=n)
    message = str(caught.value)
    assert what in message
    assert line in message
    assert fix in message
    assert "TORCH_LOGS" not in message


class Even(nn.Module):
    """Cuts a last row off where there is an odd one; with ``alias`` it writes to what it cut."""

    def __init__(self, alias: bool = False) -> None:
        super().__init__()
        self.alias = alias

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x * 2
        y = x[:, : x.shape[1] // 2 * 2].contiguous()
        return x + y.mul_(3).sum() if self.alias else y.unflatten(1, (-1, 2))


@pytest.mark.parametrize("example", [6, 7])
def test_where_pytorch_only_asks_of_layout_the_path_is_the_same(example: int) -> None:
    n = {"x": {0: Dim("b", min=1, max=9), 1: Dim("n", min=4, max=20)}}
    network = trtdsl.trace(Even().eval(), (f32(3, example),), dynamic_shapes=n)
    for rows, size in ((1, 4), (3, 5), (9, 20), (2, 19)):
        x = f32(rows, size)
        assert torch.equal(network.evaluate(x), Even()(x))


def test_where_layout_makes_a_difference_it_is_another_path() -> None:
    """The cut is the tensor itself where nothing is cut off, and so is written to."""
    n = {"x": {1: Dim("n", min=4, max=20)}}
    x = f32(3, 6)
    assert not torch.equal(Even(alias=True)(x), x * 2 + (x * 6).sum())
    with pytest.raises(ConversionError, match="are in the ranges"):
        trtdsl.trace(Even(alias=True).eval(), (x,), dynamic_shapes=n)


class Rounded(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[: x.shape[0] // 3 * 3].reshape(-1, 3)


def test_what_is_rounded_is_not_taken_for_the_ends_of_its_range() -> None:
    n = {"x": {0: Dim("n", min=9, max=30)}}
    network = trtdsl.trace(Rounded().eval(), (f32(10),), dynamic_shapes=n, opt={"n": 12})
    for size in (9, 10, 11, 12, 29, 30):
        assert torch.equal(network.evaluate(f32(size)), Rounded()(f32(size)))
