"""``infinities``: what broadcasts to sizes that vary is made infinite in the run."""

import pytest
import torch
from torch import nn

import trtdsl
from trtdsl.ir.elementwise import ElementWise
from trtdsl.ir.select import Select
from trtdsl.network import Network
from trtdsl.passes.infinities import infinities

SIZES = {"x": {0: torch.export.Dim("rows", min=1, max=64)}}


class Masked(nn.Module):
    """Infinities of both signs, as numbers and among a row's finite ones."""

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([float("-inf"), 2.0, float("inf"), float("nan")])
        self.register_buffer("row", row)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.masked_fill(x > 0, float("-inf")), torch.where(x > 1, x, self.row)


def infinite_constants(network: Network) -> list[str]:
    """Layers that read an infinite constant of another shape than theirs."""
    return [
        operation.name
        for operation in network.operations
        if isinstance(operation.layer, ElementWise | Select)
        and not operation.outputs[0].is_constant
        for x in operation.inputs
        if x.is_constant and x.shape != operation.outputs[0].shape
        if x.dtype.is_float and trtdsl.reference.fold(x).isinf().any()
    ]


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_infinities_are_made_in_the_run(precision: str | None) -> None:
    model, x = Masked().eval(), torch.linspace(-3, 3, 24).reshape(6, 4)
    traced = trtdsl.trace(model, (x,), dynamic_shapes=SIZES, precision=precision)
    assert len(infinite_constants(traced)) == 2
    network = infinities(traced)
    assert infinite_constants(network) == []
    for rows in (6, 1, 40):
        given = torch.linspace(-3, 3, rows * 4).reshape(rows, 4)
        for y, wanted in zip(network.evaluate(given), traced.evaluate(given), strict=True):
            torch.testing.assert_close(y, wanted, rtol=0, atol=0, equal_nan=True)
            assert y.isinf().any()


def test_static_sizes_are_let_be() -> None:
    traced = trtdsl.trace(Masked().eval(), (torch.ones(2, 4),))
    assert infinite_constants(infinities(traced)) == infinite_constants(traced) != []
