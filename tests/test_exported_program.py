"""``torch.export.ExportedProgram`` as the model: static, dynamic, nested, decomposed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.export import ExportedProgram, export

import trtdsl
from tests.cases.base import boolean, f32, i64
from tests.test_capture import Mixer, same
from tests.test_weights import weights_of
from trtdsl.errors import ConversionError
from trtdsl.types import DimRange


def two_inputs(x: torch.Tensor, extra: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {"y": torch.relu(x) @ extra["w"], "n": extra["i"] + 1}


INPUTS = (f32(3, 4), {"w": f32(4, 2), "i": i64(3)})


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor, extra: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return two_inputs(self.linear(x), extra)


@pytest.fixture(scope="module")
def two() -> nn.Module:
    torch.manual_seed(0)
    return TwoInputs().eval()


@pytest.mark.parametrize("decomposed", [False, True])
def test_an_exported_program_is_accepted(two: nn.Module, decomposed: bool) -> None:
    program = export(two, INPUTS, strict=False)
    program = program.run_decompositions() if decomposed else program
    network = trtdsl.trace(program)
    assert [x.name for x in network.inputs] == ["x", "extra.w", "extra.i"]
    assert "linear.weight" in weights_of(network)
    same(network.evaluate(*INPUTS), two(*INPUTS))
    same(network.evaluate(extra=INPUTS[1], x=INPUTS[0]), two(*INPUTS))


@pytest.mark.parametrize("decomposed", [False, True])
def test_a_dynamic_exported_program_is_accepted(two: nn.Module, decomposed: bool) -> None:
    batch = torch.export.Dim("batch", min=2, max=8)
    shapes = {"x": {0: batch}, "extra": {"w": None, "i": {0: batch}}}
    program = export(two, INPUTS, dynamic_shapes=shapes, strict=False)
    program = program.run_decompositions() if decomposed else program
    network = trtdsl.trace(program)
    ((name, size),) = network.symbols.items()
    assert (size.min, size.opt, size.max) == (2, 3, 8)
    assert trtdsl.trace(program, opt={name: 4}).symbols[name].opt == 4
    inputs = (f32(7, 4), {"w": f32(4, 2), "i": i64(7)})
    same(network.evaluate(*inputs), two(*inputs))
    with pytest.raises(ConversionError, match="belong to torch"):
        trtdsl.trace(program, dynamic_shapes={"x": {0: batch}})


def test_an_exported_program_with_keywords_and_constants() -> None:
    model = Mixer().eval()
    args, kwargs = (f32(2, 3), i64(2, 3)), {"mask": boolean(2, 3), "scale": 2.0}
    program: ExportedProgram = export(model, args, kwargs, strict=False)
    same(trtdsl.trace(program).evaluate(*args, **kwargs), model(*args, **kwargs))


def test_the_callers_program_stays_as_it_is() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Dropout()).eval()
    x = torch.randn(1, 3, 8, 8)
    program = torch.export.export(model, (x,), strict=False)
    before = str(program.graph)
    first, second = trtdsl.trace(program), trtdsl.trace(program)
    assert str(program.graph) == before
    assert torch.equal(program.module()(x), model(x))
    assert torch.equal(first.evaluate(x), second.evaluate(x))


def test_sizes_go_by_the_names_that_they_were_exported_with() -> None:
    model, x = nn.Linear(4, 3).eval(), f32(4, 4)
    sizes = {"input": {0: torch.export.Dim("batch", min=1, max=9)}}
    program = torch.export.export(model, (x,), dynamic_shapes=sizes, strict=False)
    network = trtdsl.trace(program, opt={"batch": 5})
    assert network.symbols == {"batch": DimRange(min=1, opt=5, max=9)}
    torch.testing.assert_close(network.evaluate(f32(7, 4)), model(f32(7, 4)).detach())
