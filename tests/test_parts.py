"""``in_parts``: a product for each part that a model cuts out of one."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.cases.base import f32
from tests.test_ir import answers
from trtdsl.ir.constant import Constant
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.slice import Slice
from trtdsl.network import Network
from trtdsl.passes.parts import in_parts

X = f32(2, 5, 12)
Answers = tuple[torch.Tensor, ...]


def shapes(network: Network, kind: type) -> list[tuple[object, ...]]:
    """The shapes of what layers of a kind give that an input reaches."""
    made = [op.outputs[0] for op in network.operations if isinstance(op.layer, kind)]
    return [x.shape for x in made if not x.is_constant]


def weights_of(network: Network) -> set[str | None]:
    layers = [op.layer for op in network.operations]
    return {layer.weights.name for layer in layers if isinstance(layer, Constant)} - {None}


class Projected(nn.Module):
    """Queries, keys and values of one product, cut apart in a way of the model's own."""

    def __init__(self, cut: str, *, bias: bool = True, scaled: bool = False) -> None:
        super().__init__()
        self.qkv = nn.Linear(12, 36, bias=bias)
        self.cut, self.scaled = cut, scaled

    def forward(self, x: torch.Tensor) -> Answers:
        y = self.qkv(x)
        y = y * 1.5 if self.scaled else y
        batch, length, _ = x.shape
        match self.cut:
            case "split":
                parts = y.split([12, 12, 12], -1)
            case "slices":
                parts = (y[..., :8], y[:, :, 8:27], y[..., 27:])
            case "columns":
                parts = (y[..., :1], y[:, :, 1:30], y[..., 30:])
            case "axes":  # timm
                parts = y.reshape(batch, length, 3, 4, 3).permute(2, 0, 3, 1, 4).unbind(0)
            case "heads":  # GPT-NeoX: three columns of each head lie apart
                parts = y.view(batch, length, 4, 9).transpose(1, 2).chunk(3, -1)
            case "rows":
                parts = y.split([2, 3], 1)
            case "steps":
                parts = (y[..., ::2], y[..., 1::2])
            case _:
                parts = (y[..., :12], y[..., 6:36])
        return tuple(p * float(i + 1) for i, p in enumerate(parts))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("cut", "sizes"),
    [("split", [12, 12, 12]), ("slices", [8, 19, 9]), ("axes", [12, 12, 12])],
)
def test_a_product_for_each_part(cut: str, sizes: list[int], bias: bool) -> None:
    model = Projected(cut, bias=bias).eval()
    network = in_parts(trtdsl.trace(model, (X,)))
    assert shapes(network, MatrixMultiply) == [(2, 5, size) for size in sizes]
    assert shapes(network, Slice) == []
    for ours, theirs in zip(answers(network.evaluate(X)), model(X), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_of_any_batch_and_length() -> None:
    batch, length = Dim("batch", min=1, max=8), Dim("length", min=2, max=64)
    model = Projected("axes").eval()
    shape = {0: batch, 1: length}
    network = in_parts(trtdsl.trace(model, (X,), dynamic_shapes=(shape,)))
    assert len(shapes(network, MatrixMultiply)) == 3
    for sizes in ((1, 2), (2, 5), (3, 9)):
        x = f32(*sizes, 12)
        for ours, theirs in zip(answers(network.evaluate(x)), model(x), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cut", ["heads", "rows", "steps", "columns", "overlapping"])
def test_what_is_no_block_of_many_columns_stays(cut: str) -> None:
    network = trtdsl.trace(Projected(cut).eval(), (X,))
    assert shapes(in_parts(network), MatrixMultiply) == shapes(network, MatrixMultiply)


def test_a_bias_of_rows_is_none_of_columns() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(f32(12, 24)), nn.Parameter(f32(24, 1))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (x @ self.weight + self.bias).chunk(2, -1)

    model, x = Rows().eval(), f32(2, 24, 12)  # as many rows as columns
    network = in_parts(trtdsl.trace(model, (x,)))
    assert len(shapes(network, MatrixMultiply)) == 1
    for ours, theirs in zip(answers(network.evaluate(x)), model(x), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_a_product_that_is_read_whole_too_stays() -> None:
    class Whole(Projected):
        def forward(self, x: torch.Tensor) -> Answers:
            y = self.qkv(x)
            return (*y.chunk(3, -1), y.sum(-1))

    for model in (Whole("").eval(), Projected("split", scaled=True).eval()):
        network = trtdsl.trace(model, (X,))
        assert len(shapes(in_parts(network), MatrixMultiply)) == 1


def test_parts_keep_the_weights_names_for_a_refit() -> None:
    network = in_parts(trtdsl.trace(Projected("axes").eval(), (X,)))
    assert {"qkv.weight", "qkv.bias"} <= weights_of(network)


def test_parts_are_said_to_be_of_the_modules_product() -> None:
    network = in_parts(trtdsl.trace(Projected("axes").eval(), (X,)))
    made = [op for op in network.operations if isinstance(op.layer, MatrixMultiply)]
    assert {op.source.module for op in made} == {"qkv"}


def test_a_column_that_broadcasts_has_no_parts() -> None:
    class Spread(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.places = nn.Linear(4, 1, bias=False), nn.Parameter(torch.randn(24))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            a, b, c = (self.linear(x) + self.places).chunk(3, -1)
            return a * b + c

    torch.manual_seed(0)
    x = torch.randn(2, 5, 4)
    network = trtdsl.trace(Spread().eval(), (x,))
    assert torch.equal(in_parts(network).evaluate(x), network.evaluate(x))
