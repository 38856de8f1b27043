"""Bytes inside a network as int32: the same numbers, and none of a byte where TensorRT has none."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import trtdsl
from tests import standin
from tests import test_converters as converters
from tests import test_ir as ir
from tests.cases.base import byte, f32
from tests.test_lowering import lowered
from tests.test_typed import STRONG, assert_typed
from trtdsl.ir.cast import Cast
from trtdsl.network import Network
from trtdsl.passes.wide_bytes import wide_bytes
from trtdsl.types import DType

BYTES = (DType.INT8, DType.UINT8)
FLOATS = (DType.FLOAT32, DType.FLOAT16)
aten = torch.ops.aten


def has_bytes(parameter: Any) -> bool:
    case = parameter.values[0]
    given = [*converters.tensors_of([*case.args, *case.kwargs.values()])]
    return not case.fails and any(x.dtype in (torch.int8, torch.uint8) for x in given)


def assert_bytes_are_at_the_ends(net: Network) -> None:
    """uint8 is read and made by casts from and to floats alone, int8 by casts from and to int32."""
    for operation in net.operations:
        if all(x.is_constant for x in operation.outputs):
            continue
        for x in (*operation.inputs, *operation.outputs):
            if x.dtype not in BYTES or x.is_constant:
                continue
            assert isinstance(operation.layer, Cast), operation
            other = operation.outputs[0] if x in operation.inputs else operation.inputs[0]
            assert other.dtype in (FLOATS if x.dtype is DType.UINT8 else (DType.INT32,))
            assert x in net.inputs or x in net.outputs


@pytest.mark.parametrize("case", [c for c in converters.CASES if has_bytes(c)])
def test_rows_of_bytes(case: Any) -> None:
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    network = trtdsl.trace(module, tuple(inputs))
    wide = wide_bytes(network)
    assert_bytes_are_at_the_ends(wide)
    assert [x.type for x in wide.outputs] == [x.type for x in network.outputs]
    expected = ir.answers(module(*(x.clone() for x in inputs)))
    for actual, wanted in zip(ir.answers(wide.evaluate(*inputs)), expected, strict=True):
        ir.assert_close(actual, wanted, case.tolerance)


@pytest.mark.parametrize("case", [c for c in converters.CASES if has_bytes(c)])
def test_rows_of_bytes_are_typed(case: Any) -> None:
    network = trtdsl.trace(converters.module_of(case), tuple(converters.inputs_of(case)))
    for version in (STRONG[0], STRONG[-1]):
        assert_typed(wide_bytes(network), version)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8])
@pytest.mark.parametrize("source", [torch.int64, torch.int32, torch.float32, torch.bool])
def test_what_becomes_a_byte_is_cut_as_in_pytorch(source: torch.dtype, dtype: torch.dtype) -> None:
    x = torch.tensor([-300, -129, -128, -1, 0, 1, 127, 128, 255, 256, 511])
    if source is torch.float32:
        x = x[5:7] if dtype is torch.int8 else x[4:9]  # others are undefined in C++
    x = x.to(source)
    net = Network()
    y = net.input("x", tuple(x.shape), DType.of(source)).cast(DType.of(dtype))
    net.output(y.cast(DType.INT32) + 1, "more")
    net.output(y, "y")
    more, same = wide_bytes(net).evaluate(x)
    assert torch.equal(same, x.to(dtype))
    assert torch.equal(more, x.to(dtype).int() + 1)


def test_an_image_of_bytes_is_read_as_floats_at_once() -> None:
    class Normalized(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return (image.float() / 255 - 0.5) * 2

    network = trtdsl.trace(Normalized().eval(), (byte(1, 3, 4, 4),))
    before, after = ([o.layer for o in net.operations] for net in (network, wide_bytes(network)))
    assert after == before


def test_a_loop_gets_its_bytes() -> None:
    class Loops(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            def more(i: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
                return i < 3

            def step(i: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
                return i + 1, y + 100

            turned: torch.Tensor = torch.while_loop(more, step, (torch.tensor(0), x * 2))[1]
            return turned + 1

    model, x = Loops().eval(), byte(3, 4)
    wide = wide_bytes(trtdsl.trace(model, (x,)))
    assert torch.equal(wide.evaluate(x), model(x))


def test_a_network_without_bytes_is_itself() -> None:
    network = trtdsl.trace(torch.nn.ReLU().eval(), (f32(3),))
    assert wide_bytes(network) is network


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_every_release_takes_them(version: str) -> None:
    class Mixed(torch.nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> Any:
            return x * 3 + y.to(torch.uint8), torch.maximum(y, y.flip(0)), x[:, 1:]

    network = wide_bytes(trtdsl.trace(Mixed().eval(), (byte(3, 4), byte(3, 4).char())))
    lowered(network, version)
