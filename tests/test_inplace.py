"""``trtdsl.export.inplace``: operators that write to their arguments, and the views that see it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.fx import Graph, Node

import trtdsl
from tests.cases.base import f32
from trtdsl.errors import ConversionError
from trtdsl.export.inplace import drop_identities, has_inplace, rewrite_inplace

aten = torch.ops.aten


class Calls(nn.Module):
    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("count", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


def fresh(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y.add_(1).relu_()
    y.mul_(y)
    return y + x


def written_through_a_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    y[0].add_(100)
    y.view(-1)[1:3].mul_(0)
    return y


def view_made_before(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    row = y[1]
    y.add_(1)
    row.mul_(3)
    return y + row


def view_read_after(x: torch.Tensor) -> torch.Tensor:
    y = x.exp()
    flat = y.flatten()
    y.relu_()
    y.sub_(0.5)
    return flat + 1


def alias_that_looks_new(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    same = nn.functional.dropout(y, training=False)
    contiguous = y.contiguous()
    y.mul_(-1)
    return same + contiguous


def broadcast(x: torch.Tensor) -> torch.Tensor:
    y = x + 1
    wide, _ = torch.broadcast_tensors(y, x.new_zeros(2, 3, 3))
    grid = torch.meshgrid(y[0], y[1], indexing="ij")[0]
    y.mul_(-1)
    return wide + grid


def assigned(x: torch.Tensor) -> torch.Tensor:
    y = torch.zeros_like(x)
    y[:, 1] = x[:, 0]
    y[0] = 5
    return y


def promoting(x: torch.Tensor) -> torch.Tensor:
    y = x.half() * 1
    y.add_(x)
    return y.float()


def in_the_input_s_copy(x: torch.Tensor) -> torch.Tensor:
    y = x.clone()
    y.clamp_(min=0).sigmoid_()
    return y - x


def used_before_and_after(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    before = y + 0
    y.add_(10)
    return before * y


def comparing(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    return y.gt_(0.5) + (x + 1).logical_not_()


FUNCTIONS = [
    comparing, fresh, written_through_a_view, view_made_before, view_read_after,
    alias_that_looks_new, broadcast, assigned, promoting, in_the_input_s_copy,
    used_before_and_after,
]  # fmt: skip


@pytest.mark.parametrize("function", FUNCTIONS)
def test_in_place_operators_answer_as_pytorch_does(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    x = f32(3, 3)
    before = x.clone()
    network = trtdsl.trace(Calls(function).eval(), (x,))
    answer = network.evaluate(x)
    assert torch.equal(x, before)
    torch.testing.assert_close(answer, function(x.clone()), rtol=1e-6, atol=1e-6)


def test_modules_that_work_in_place() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Hardswish(inplace=True),
        nn.Dropout(inplace=True), nn.SiLU(inplace=True),
    ).eval()  # fmt: skip
    x = f32(1, 3, 8, 8)
    torch.testing.assert_close(
        trtdsl.trace(model, (x,)).evaluate(x), model(x), rtol=1e-5, atol=1e-6
    )


def to_the_input(x: torch.Tensor) -> torch.Tensor:
    return x.add_(1) * 2


def to_a_view_of_the_input(x: torch.Tensor) -> torch.Tensor:
    x[0].zero_()
    return x * 2


@pytest.mark.parametrize("function", [to_the_input, to_a_view_of_the_input])
def test_writing_to_an_input_is_refused(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    x = f32(3, 3)
    before = x.clone()
    with pytest.raises(ConversionError, match=r"updates \S+ in place") as caught:
        trtdsl.trace(Calls(function).eval(), (x,))
    assert "updates input function" not in str(caught.value)
    assert "fix: return the new value as an output" in str(caught.value)
    assert torch.equal(x, before)


def test_writing_to_a_buffer_is_refused_by_its_name() -> None:
    class Counts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Module()
            self.inner.register_buffer("count", torch.zeros(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.inner.count.add_(1)
            result: torch.Tensor = x + self.inner.count
            return result

    model = Counts().eval()
    with pytest.raises(ConversionError, match=r"the model updates inner\.count in place"):
        trtdsl.trace(model, (f32(3),))
    assert model.inner.count.tolist() == [0.0, 0.0, 0.0]


def graph_of(build: Callable[[Graph, Node], Node]) -> Graph:
    """A graph with one input, as no tracer of today writes it, and the values of its nodes."""
    graph = Graph()
    x = graph.placeholder("x")
    graph.output(build(graph, x))
    for node in graph.nodes:
        node.meta["val"] = torch.zeros(2, 2)
    return graph


def test_an_alias_under_another_name_is_seen() -> None:
    def build(graph: Graph, x: Node) -> Node:
        made = graph.call_function(aten.mul.Tensor, (x, 2))
        renamed = graph.call_function(aten.relu_.default, (made,))
        view = graph.call_function(aten.view.default, (renamed, [4]))
        graph.call_function(aten.add_.Tensor, (made, 1))
        return view

    graph = graph_of(build)
    before = str(graph)
    assert has_inplace(graph)
    assert not rewrite_inplace(graph)
    assert str(graph) == before


def test_an_alias_that_is_only_read_whole_follows_the_writes() -> None:
    def build(graph: Graph, x: Node) -> Node:
        made = graph.call_function(aten.mul.Tensor, (x, 2))
        renamed = graph.call_function(aten.relu_.default, (made,))
        graph.call_function(aten.add_.Tensor, (made, 1))
        return graph.call_function(aten.add.Tensor, (renamed, made))

    graph = graph_of(build)
    assert rewrite_inplace(graph)
    assert not has_inplace(graph)
    module = torch.fx.GraphModule(nn.Module(), graph)
    x = torch.tensor([[-1.0, 2.0], [3.0, -4.0]])
    assert torch.equal(module(x), 2 * ((x * 2).relu() + 1))
    assert x.tolist() == [[-1.0, 2.0], [3.0, -4.0]]


def test_detach_of_a_constant_is_no_update() -> None:
    class Offset(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu_() + torch.tensor([1.0, 2.0])

    program = torch.export.export(Offset().eval(), (torch.ones(2),))
    graph = program.graph
    assert any(n.target is torch.ops.aten.detach_.default for n in graph.nodes)
    assert drop_identities(graph)
    assert not any(n.target is torch.ops.aten.detach_.default for n in graph.nodes)


class Scratch(nn.Module):
    """Chooses frequencies in a buffer, as Phi-3's rotary embedding for long texts does."""

    frequencies: torch.Tensor
    longer: torch.Tensor
    shorter: torch.Tensor

    def __init__(self, *, persistent: bool = False, reads: bool = False) -> None:
        super().__init__()
        self.register_buffer("frequencies", torch.ones(4), persistent=persistent)
        self.register_buffer("shorter", torch.linspace(0, 1, 4))
        self.register_buffer("longer", torch.linspace(2, 3, 4))
        self.reads = reads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.reads:
            x = x + self.frequencies
        length = torch.arange(x.shape[0]).max() + 1
        self.frequencies.copy_(torch.where(length > 5, self.longer, self.shorter))
        return x * self.frequencies


@pytest.mark.parametrize("exported", [False, True])
def test_a_buffer_that_each_call_writes_before_it_reads_is_no_state(exported: bool) -> None:
    model, sizes = Scratch().eval(), ({0: torch.export.Dim("n", min=2, max=16)},)
    if exported:
        program = torch.export.export(model, (f32(6, 4),), dynamic_shapes=sizes)
        before = str(program)
        network = trtdsl.trace(program)
        assert str(program) == before
    else:
        network = trtdsl.trace(model, (f32(6, 4),), dynamic_shapes=sizes)
    for length in (2, 5, 6, 16):
        x = f32(length, 4)
        torch.testing.assert_close(network.evaluate(x), model(x))


@pytest.mark.parametrize("as_buffer", [False, True])
def test_a_scratch_buffer_that_is_read_by_another_name_is_refused(as_buffer: bool) -> None:
    class Aliased(Scratch):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) + self.alias.reshape(4)  # type: ignore[operator]

    model = Aliased().eval()
    alias = model.frequencies.view(2, 2)
    if as_buffer:
        model.register_buffer("alias", alias, persistent=False)
    else:
        model.alias = alias
    with pytest.raises(trtdsl.ConversionError, match="cannot decompose"):
        trtdsl.trace(model, (f32(6, 4),))


@pytest.mark.parametrize("how", [{"persistent": True}, {"reads": True}])
def test_a_buffer_that_another_call_or_a_file_sees_is_state(how: dict[str, bool]) -> None:
    with pytest.raises(trtdsl.ConversionError, match="updates frequencies in place"):
        trtdsl.trace(Scratch(**how).eval(), (f32(6, 4),))


class Unbound(nn.Module):
    """Writes to parts that ``unbind`` gives, as torchvision does to the channels of images."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        whole = x * 2
        red, green, blue = whole.unbind(1)
        green.add_(4.0).sub_(red)
        torch.relu_(blue)
        return whole + green[:, None]


def test_a_part_of_an_unbind_is_written_to_at_every_size() -> None:
    model, batch = Unbound().eval(), torch.export.Dim("batch", min=1, max=8)
    network = trtdsl.trace(model, (f32(2, 3, 4),), dynamic_shapes={"x": {0: batch}})
    for n in (1, 2, 7):
        x = f32(n, 3, 4)
        torch.testing.assert_close(network.evaluate(x), model(x))


class Angles(nn.Module):
    @torch.autocast("cuda", enabled=False)
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        steps = torch.arange(x.shape[1], dtype=x.dtype)
        return steps.sin(), steps.cos()


class Dropped(nn.Module):
    """Hands a slice to a region that only looks at its size: torch.export leaves it, dead."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout, self.angles = nn.Dropout(0.1), Angles()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.dropout(x)
        sine, cosine = self.angles(x[:, 1:])
        return x[:, 1:] * sine + x[:, :-1] * cosine


@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
def test_a_dead_slice_of_a_dropout() -> None:
    model, x = Dropped().eval(), f32(2, 5)
    torch.testing.assert_close(trtdsl.trace(model, (x,)).evaluate(x), model(x))
