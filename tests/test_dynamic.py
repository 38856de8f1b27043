"""``trtdsl.export.dynamic``: how sizes are said to be dynamic, names, ranges, tuning points."""

from __future__ import annotations

from typing import Any

import pytest
import sympy
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from trtdsl.capture import capture
from trtdsl.errors import ConversionError, RunError
from trtdsl.export import paths
from trtdsl.types import DimRange


class Halves(nn.Module):
    """``x: (batch, 4)``, ``y: (2 * batch, 4)``."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return x * 2 + y.reshape(2, -1, 4).sum(0)


class Nested(nn.Module):
    def forward(self, batch: dict[str, Any], *, bias: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = batch["x"][0] + batch["x"][1] + bias
        return result


def close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)


BATCH = Dim("batch", min=1, max=16)
BY_NAME = {"x": {0: BATCH}, "y": {0: 2 * BATCH}}
BY_POSITION = ({0: BATCH}, {0: 2 * BATCH})
AS_LISTS = ([BATCH, None], [2 * BATCH, None])


@pytest.mark.parametrize(
    "shapes", [BY_NAME, BY_POSITION, AS_LISTS], ids=["names", "places", "lists"]
)
@pytest.mark.parametrize("example", [1, 3])
def test_derived_sizes_and_examples_of_one(shapes: Any, example: int) -> None:
    model = Halves().eval()
    inputs = (f32(example, 4), f32(2 * example, 4))
    network = trtdsl.trace(model, inputs, dynamic_shapes=shapes)
    assert network.symbols == {"batch": DimRange(min=1, opt=example, max=16)}
    batch = sympy.Symbol("batch", integer=True, positive=True)
    assert [x.shape for x in network.inputs] == [(batch, 4), (2 * batch, 4)]
    assert network.outputs[0].shape == (batch, 4)
    for n in (1, 2, 16):
        inputs = (f32(n, 4), f32(2 * n, 4, seed=1))
        close(network.evaluate(*inputs), model(*inputs))
    with pytest.raises(RunError, match=r"2\*batch"):
        network.evaluate(f32(3, 4), f32(5, 4))
    with pytest.raises(RunError, match=r"batch in 1\.\.16"):
        network.evaluate(f32(17, 4), f32(34, 4))


def test_the_example_is_left_as_it_was() -> None:
    inputs = (f32(1, 4), f32(2, 4))
    before = [x.clone() for x in inputs]
    trtdsl.trace(Halves().eval(), inputs, dynamic_shapes=BY_NAME)
    assert all(torch.equal(a, b) for a, b in zip(inputs, before, strict=True))


class Picky(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(6, -1) if bool(x.sum() > 0) else x


def test_an_export_that_fails_leaves_no_marks_on_the_example() -> None:
    x = torch.ones(4, 3)
    with pytest.raises(trtdsl.ConversionError, match="data-dependent"):
        trtdsl.trace(Picky().eval(), (x,), dynamic_shapes={"x": {0: Dim.AUTO(min=2, max=8)}})
    network = trtdsl.trace(nn.ReLU().eval(), (x,))
    assert network.inputs[0].shape == (4, 3)


def test_nested_inputs() -> None:
    rows, columns = Dim("rows", max=8), Dim("columns", min=2, max=8)
    shape = {0: rows, 1: columns}
    network = trtdsl.trace(
        Nested().eval(),
        ({"x": [f32(2, 3), f32(2, 3)]},),
        {"bias": f32(3)},
        dynamic_shapes={"batch": {"x": [shape, shape]}, "bias": (columns,)},
        opt={"rows": 5},
    )
    assert network.symbols == {
        "rows": DimRange(min=1, opt=5, max=8),
        "columns": DimRange(min=2, opt=3, max=8),
    }
    assert [x.name for x in network.inputs] == ["batch.x.0", "batch.x.1", "bias"]
    batch, bias = {"x": [f32(7, 2), f32(7, 2, seed=1)]}, f32(2)
    close(network.evaluate(batch, bias=bias), Nested()(batch, bias=bias))


@pytest.mark.parametrize(
    ("make", "size", "opt"),
    [
        (lambda h: 8 * h, 32, 4),
        (lambda h: 8 * h + 1, 33, 4),
        (lambda h: h + 1, 7, 6),
    ],
)
def test_a_multiple_is_tuned_for_the_example(make: Any, size: int, opt: int) -> None:
    rows = make(Dim("h", max=16))
    network = trtdsl.trace(nn.ReLU().eval(), (f32(size, 3),), dynamic_shapes={"input": {0: rows}})
    assert network.symbols["h"] == DimRange(min=1, opt=opt, max=16)


def test_sizes_that_pytorch_names_itself() -> None:
    model = nn.Softmax(dim=-1).eval()
    auto = {"input": {0: Dim.AUTO(min=1, max=9), 1: Dim.DYNAMIC(max=7)}}
    network = trtdsl.trace(model, (f32(2, 3),), dynamic_shapes=auto)
    assert sorted((s.opt, s.max) for s in network.symbols.values()) == [(2, 9), (3, 7)]
    x = f32(9, 5)
    close(network.evaluate(x), model(x))


class Sizes(nn.Module):
    """Sizes in arithmetic, as shapes and as values."""

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        n, m = x.shape[0], y.shape[0]
        ones = x.new_ones(torch.sym_max(n, m)).sum() + 10 * x.new_ones(torch.sym_min(n, 5)).sum()
        turned = x.reshape(4 * n) ** 2
        return x.sum() * n + ones + turned.mean() / (n % 3 + 1) + m + (n + m) // 2


@pytest.mark.parametrize("sizes", [(3, 4), (8, 2), (1, 1)])
def test_arithmetic_of_sizes(sizes: tuple[int, int]) -> None:
    model = Sizes().eval()
    shapes = ({0: Dim("n", min=1, max=32)}, {0: Dim("m", min=1, max=32)})
    network = trtdsl.trace(model, (f32(6, 4), f32(3, 4)), dynamic_shapes=shapes)
    inputs = tuple(f32(n, 4) for n in sizes)
    close(network.evaluate(*inputs), model(*inputs))


@pytest.mark.parametrize(
    ("shapes", "opt", "reason"),
    [
        ({"z": {0: BATCH}}, None, "names 'z'; the inputs are x, y"),
        (
            {"x": {0: Dim("batch")}, "y": {0: 2 * Dim("batch")}},
            None,
            "size batch, axis 0 of input x, has no upper bound",
        ),
        (BY_NAME, {"batch": 17}, r"opt of size batch is 17, outside of 1\.\.16"),
        (BY_NAME, {"batch": "8"}, r"opt of size batch is '8', outside of 1\.\.16"),
        (BY_NAME, {"rows": 2}, "opt names rows; the dynamic sizes are batch"),
        (None, {"rows": 2}, "opt names rows; the dynamic sizes are none"),
        ({"x": {0: BATCH}}, None, "Halves makes the number 3 of the size batch"),
        ({"x": BATCH}, None, "dynamic_shapes of input x is .*batch"),
        (({0: BATCH}, {0: BATCH}, {}), None, "the inputs are x, y"),
        (BATCH, None, "the inputs are x, y"),
        ({"x": {2: BATCH}}, None, r"axis 2 of input x, which has the shape \(3, 4\)"),
        ({"x": {-3: BATCH}}, None, r"axis -3 of input x, which has the shape \(3, 4\)"),
        ({"x": {0: "batch"}}, None, "axis 0 of input x as 'batch', which is no torch.export.Dim"),
        ({"x": {0: Dim("class")}}, None, "axis 0 of input x is called 'class', a word of Python's"),
    ],
)
def test_specifications_that_do_not_fit(shapes: Any, opt: Any, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason) as caught:
        trtdsl.trace(Halves().eval(), (f32(3, 4), f32(6, 4)), dynamic_shapes=shapes, opt=opt)
    if "upper bound" in reason:
        assert 'fix: torch.export.Dim("batch", min=' in str(caught.value)


def test_a_size_that_a_decomposition_fixes_is_refused() -> None:
    class Diagonal(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.diagonal(x, offset=2)

    model, diagonal = Diagonal().eval(), torch.ops.aten.linalg_diagonal.default
    shapes = {"x": {0: BATCH, 1: Dim("columns", min=2, max=8)}}
    with pytest.raises(ConversionError, match="the number 3 of axis 1 of input x"):
        capture(model, (f32(5, 3),), dynamic_shapes=shapes, keep=lambda op: op is not diagonal)


def test_an_axis_counted_from_the_back() -> None:
    network = trtdsl.trace(nn.ReLU().eval(), f32(3, 4), dynamic_shapes={"input": {-2: BATCH}})
    assert str(network.inputs[0].type) == "f32[batch, 4]"


class Sums(nn.Module):
    def forward(self, *terms: torch.Tensor, **more: torch.Tensor) -> torch.Tensor:
        return sum(terms) + more["last"]


def test_variadic_inputs_are_specified_as_torch_export_has_them() -> None:
    model, x = Sums().eval(), f32(3, 4)
    shapes = {"terms": ({0: BATCH}, {0: BATCH}), "more": {"last": {0: BATCH}}}
    network = trtdsl.trace(model, (x, x), {"last": x}, dynamic_shapes=shapes)
    assert [str(y.type) for y in network.inputs] == ["f32[batch, 4]"] * 3
    y = f32(5, 4, seed=1)
    close(network.evaluate(y, y, last=y), model(y, y, last=y))


class Terms(nn.Module):
    def forward(self, x: torch.Tensor, *terms: torch.Tensor) -> torch.Tensor:
        return x + sum(terms)


@pytest.mark.parametrize(
    "shapes",
    [
        ({0: BATCH}, ({0: BATCH}, {0: BATCH})),  # as torch.export has it
        ({0: BATCH}, {0: BATCH}, {0: BATCH}),
        [{0: BATCH}, [(BATCH, None), [BATCH, None]]],
    ],
)
def test_variadic_inputs_in_order(shapes: Any) -> None:
    model, x = Terms().eval(), f32(3, 4)
    network = trtdsl.trace(model, (x, x, x), dynamic_shapes=shapes)
    assert [str(y.type) for y in network.inputs] == ["f32[batch, 4]"] * 3


def test_one_variadic_input_whose_axes_are_in_order() -> None:
    network = trtdsl.trace(Terms().eval(), (f32(3), f32(3)), dynamic_shapes=((BATCH,), (BATCH,)))
    assert [str(y.type) for y in network.inputs] == ["f32[batch]"] * 2


def test_a_nested_specification_that_names_no_place() -> None:
    with pytest.raises(ConversionError, match="input batch has no place 'z' in it; it has 'x'"):
        trtdsl.trace(
            Nested().eval(),
            ({"x": [f32(2), f32(2)]},),
            {"bias": f32(2)},
            dynamic_shapes={"batch": {"z": {0: BATCH}}},
        )


def test_opt_and_kwargs_go_by_name() -> None:
    model, x = nn.ReLU().eval(), f32(2, 3)
    with pytest.raises(ConversionError, match=r"opt is 4\n  fix: name the sizes"):
        trtdsl.trace(model, (x,), opt=4)  # type: ignore[arg-type]
    with pytest.raises(ConversionError, match="kwargs is a list"):
        trtdsl.trace(model, (), [x])  # type: ignore[arg-type]


def test_outputs_are_named_by_their_place() -> None:
    class Nested(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
            return x + 1, {"again": x + 2}

    network = trtdsl.trace(Nested().eval(), (f32(2, 3),))
    assert [y.name for y in network.outputs] == ["output_0", "output_1.again"]


def test_the_least_size_is_what_the_user_asked_for() -> None:
    """PyTorch leaves 1 out where a size is a multiple of a Dim."""
    shapes = {"x": {0: 4 * Dim("n", min=1, max=8)}}
    network = trtdsl.trace(nn.ReLU().eval(), (f32(8, 3),), dynamic_shapes={"input": shapes["x"]})
    assert network.symbols["n"].min == 1
    assert network.evaluate(f32(4, 3)).shape == (4, 3)


class Narrow(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch._check(x.shape[0] <= 16)
        return x + 1


def test_a_range_that_pytorch_found_to_be_narrower_is_told() -> None:
    shapes = {"x": {0: 4 * Dim("n", min=1, max=8)}}
    with pytest.raises(ConversionError, match=r"n = 5 are in|n of 1 to 4, and dynamic_shapes has"):
        trtdsl.trace(Narrow().eval(), (f32(8, 3),), dynamic_shapes=shapes)


class Shifted(nn.Module):
    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return a[1:] * 2 + b


def test_a_size_that_is_less_than_another() -> None:
    """PyTorch's symbol is then the lesser one, which no name of the user's is."""
    batch = Dim("batch", min=2, max=16)
    sizes = {"a": {0: batch}, "b": {0: batch - 1}}
    network = trtdsl.trace(Shifted().eval(), (f32(4, 2), f32(3, 2)), dynamic_shapes=sizes)
    assert [range_.min for range_ in network.symbols.values()] == [1]
    assert [range_.max for range_ in network.symbols.values()] == [15]
    assert "batch" not in network.symbols
    for rows in (2, 7, 16):
        a, b = f32(rows, 2), f32(rows - 1, 2, seed=1)
        torch.testing.assert_close(network.evaluate(a, b), a[1:] * 2 + b)
    with pytest.raises(RunError, match=r"17 at axis 0|16 at axis 0"):
        network.evaluate(f32(17, 2), f32(16, 2))


@pytest.mark.parametrize(
    ("dim", "reason"),
    [
        (Dim("rows", min=8, max=16), r"x has 4 at axis 0, outside of rows's 8\.\.16\n  fix: give"),
        (Dim("rows", min=1, max=3), r"x has 4 at axis 0, outside of rows's 1\.\.3"),
        (5, r"x has 4 at axis 0, and dynamic_shapes 5\n  fix: write 4"),
        (Dim.AUTO, r"axis 0 of input x, has no upper bound.*\n.*Dim\.AUTO\(max="),
        (Dim.DYNAMIC, r"axis 0 of input x, has no upper bound.*\n.*Dim\.AUTO\(max="),
    ],
)
def test_an_example_or_a_bound_that_does_not_fit(dim: Any, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        trtdsl.trace(Row().eval(), (f32(4, 8),), dynamic_shapes={"x": {0: dim}})


class Row(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.linear(x))


def test_a_size_that_the_model_fixes_goes_by_the_inputs_name() -> None:
    with pytest.raises(ConversionError, match=r"number 8 of the size x\.shape\[1\], which"):
        trtdsl.trace(Row().eval(), (f32(4, 8),), dynamic_shapes={"x": {1: Dim.DYNAMIC(max=16)}})


def test_a_model_that_fails_is_called_without_a_trace() -> None:
    class Counted(nn.Module):
        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            raise RuntimeError("no such thing")

    model = Counted().eval()
    with pytest.raises(ConversionError, match="no such thing"):
        trtdsl.trace(model, (f32(2),))
    assert model.calls == 0


class Squeezed(nn.Module):
    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = axes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.squeeze(self.axes) if self.axes else x.squeeze()


@pytest.mark.parametrize("axes", [(), (0,), (0, 1)])
def test_a_squeezed_size_that_may_be_1_is_told(axes: tuple[int, ...]) -> None:
    x, model = f32(3, 1, 4), Squeezed(*axes).eval()
    shapes = {"x": {0: Dim("rows", min=1, max=8)}}
    said = r"f32\[rows, 1, 4\] keeps axis 0 where rows is 1(.|\n)*x.squeeze(.|\n)*fix:"
    with pytest.warns(trtdsl.SizeOneWarning, match=said):
        network = trtdsl.trace(model, (x,), dynamic_shapes=shapes)
    assert torch.equal(network.evaluate(x), model(x))
    trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: Dim("rows", min=2, max=8)}})
    trtdsl.trace(Squeezed(1).eval(), (x,), dynamic_shapes=shapes)


class Single(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.shape[0] == 1 else x


def test_a_branch_for_a_size_of_1_is_told_where_it_may_be_1() -> None:
    x, model = f32(3, 4), Single().eval()
    said = r"captured for Ne\(rows, 1\); where rows = 1 (.|\n)*shape\[0\] == 1(.|\n)*fix: .*min=2"
    with pytest.warns(trtdsl.SizeOneWarning, match=said):
        trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: Dim("rows", min=1, max=8)}})
    network = trtdsl.trace(model, (x,), dynamic_shapes={"x": {0: Dim("rows", min=2, max=8)}})
    assert torch.equal(network.evaluate(x), x)


class Chunks(nn.Module):
    """Sums within chunks of 16 steps, the last of which is padded, and of what came before."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        padding = (16 - x.shape[1] % 16) % 16
        chunks = nn.functional.pad(x, (0, padding)).unflatten(1, (-1, 16))
        total, outputs = torch.zeros(x.shape[0], 1), []
        for i in range(chunks.shape[1]):
            outputs.append(chunks[:, i].cumsum(1) + total)
            total = total + chunks[:, i].sum(1, keepdim=True)
        return torch.cat(outputs, 1)[:, : x.shape[1]]


def _chunked(most: int) -> trtdsl.Network:
    shape = {0: Dim("batch", min=1, max=4), 1: Dim("length", min=1, max=most)}
    return trtdsl.trace(Chunks().eval(), (f32(2, 8),), dynamic_shapes=(shape,))


def test_what_pytorch_cannot_prove_of_sizes_is_tried() -> None:
    network = _chunked(16)
    for shape in ((1, 1), (3, 5), (2, 16)):
        torch.testing.assert_close(network.evaluate(f32(*shape)), Chunks()(f32(*shape)))
    with pytest.raises(ConversionError, match=r"16\), 1\), and length = 17 are in the ranges"):
        _chunked(17)


class Masked(Chunks):
    """The steps that a mask of the same size lets pass."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return super().forward(x * mask) + super().forward(mask)


def test_two_inputs_of_one_size_are_tried_at_one() -> None:
    shape = {0: Dim("batch", min=1, max=4), 1: Dim("length", min=1, max=16)}
    inputs = f32(2, 8), f32(2, 8, seed=1)
    network = trtdsl.trace(Masked().eval(), inputs, dynamic_shapes=(shape, shape))
    inputs = f32(3, 5), f32(3, 5, seed=1)
    torch.testing.assert_close(network.evaluate(*inputs), Masked()(*inputs))


def test_what_cannot_be_tried_at_all_sizes_is_refused() -> None:
    shape = {0: Dim("batch", min=1, max=4), 1: Dim("length", min=1, max=16)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paths, "_MOST_POINTS", 8)
        with pytest.raises(ConversionError, match="cannot prove that of the whole ranges"):
            trtdsl.trace(Chunks().eval(), (f32(2, 8),), dynamic_shapes=(shape,))
