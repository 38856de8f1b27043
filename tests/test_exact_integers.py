"""``exact_integers``: the layers that take the place of those TensorRT 8.6 computes in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trtdsl.ir.elementwise import ElementWise, ElementWiseOperation
from trtdsl.ir.reduce import Reduce, ReduceOperation
from trtdsl.network import Network
from trtdsl.operators import where
from trtdsl.passes.exact_integers import exact_integers
from trtdsl.types import DType

ENDS = [-(2**31), -(2**31) + 1, -(2**24) - 1, -8, -7, -1, 0, 1, 6, 7, 8, 2**24 + 1, 2**31 - 1]


def random(*shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-(2**31), 2**31 - 1, shape, generator=generator).int()


@pytest.fixture
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divisions of integers as TensorRT 8.6 computes them: in float32."""
    exact = ElementWise.evaluate

    def evaluate(self: ElementWise, x: torch.Tensor, y: torch.Tensor) -> Any:
        if self.op in (ElementWiseOperation.FLOOR_DIV, ElementWiseOperation.DIV):
            return (x.float() / y.float()).floor().clamp(-(2.0**31), 2.0**31 - 128).int()
        return exact(self, x, y)

    monkeypatch.setattr(ElementWise, "evaluate", evaluate)


@pytest.mark.parametrize("divisor", [1, 3, 7, -7, 10, 1000, 65537, -99999, 2**24 + 1, 2**31 - 1])
@pytest.mark.parametrize("op", [ElementWiseOperation.FLOOR_DIV, ElementWiseOperation.DIV])
def test_divisions_by_constants(coarse: None, op: ElementWiseOperation, divisor: int) -> None:
    net = Network()
    x = net.input("x", (1013,), DType.INT32)
    net.output(ElementWise(op=op)(x, net.constant(torch.tensor([divisor], dtype=torch.int32))))
    values = torch.cat([torch.tensor(ENDS).int(), random(1000)])
    rounding = "floor" if op is ElementWiseOperation.FLOOR_DIV else "trunc"
    expected = torch.div(values.long(), divisor, rounding_mode=rounding).int()
    if divisor == 7:
        assert not torch.equal(net.evaluate(values), expected), "float32 is exact here"
    assert torch.equal(exact_integers(net).evaluate(values), expected)


@pytest.mark.parametrize("op", [ElementWiseOperation.FLOOR_DIV, ElementWiseOperation.DIV])
def test_divisions_by_tensors(coarse: None, op: ElementWiseOperation) -> None:
    net = Network()
    x, y = (net.input(name, (1013,), DType.INT32) for name in "xy")
    net.output(ElementWise(op=op)(x, y))
    values = torch.cat([torch.tensor(ENDS).int(), random(1000)])
    divisors = random(1013) >> torch.arange(1013).int() % 31 | 1
    rounding = "floor" if op is ElementWiseOperation.FLOOR_DIV else "trunc"
    expected = torch.div(values.long(), divisors.long(), rounding_mode=rounding).int()
    assert not torch.equal(net.evaluate(values, divisors), expected), "float32 is exact here"
    assert torch.equal(exact_integers(net).evaluate(values, divisors), expected)


@pytest.fixture
def saturated(coarse: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reductions of integers, too, as TensorRT 8.6 computes them."""
    exact = Reduce.evaluate

    def evaluate(self: Reduce, x: torch.Tensor) -> torch.Tensor:
        if x.dtype.is_floating_point:
            return exact(self, x)
        return exact(self, x.float()).clamp(-(2.0**31), 2.0**31 - 128).int()

    monkeypatch.setattr(Reduce, "evaluate", evaluate)


REDUCED = {
    ReduceOperation.SUM: lambda x, axes: x.sum(axes, dtype=torch.int32),
    ReduceOperation.PROD: lambda x, axes: product(x, axes),
    ReduceOperation.MAX: lambda x, axes: x.amax(axes),
    ReduceOperation.MIN: lambda x, axes: x.amin(axes),
}


def product(x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    for axis in reversed(axes):
        x = x.prod(axis, dtype=torch.int32)
    return x


@pytest.mark.parametrize("op", REDUCED)
@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2)])
def test_reductions(saturated: None, op: ReduceOperation, axes: tuple[int, ...]) -> None:
    for keep in (True, False):
        net = Network()
        length = net.dim("length", min=1, opt=4, max=9)
        x = net.input("x", (5, length, 3), DType.INT32)
        net.output(Reduce(op=op, axes=axes, keep_dimensions=keep)(x))
        exact = exact_integers(net)
        for size in (1, 2, 5, 9):
            values = random(5, size, 3)
            assert not torch.equal(net.evaluate(values), exact.evaluate(values))
            expected, actual = REDUCED[op](values, axes), exact.evaluate(values)
            assert torch.equal(actual.reshape(expected.shape), expected)


@pytest.mark.parametrize("op", [ReduceOperation.MAX, ReduceOperation.MIN])
def test_extremes_that_differ_in_their_last_bits(saturated: None, op: ReduceOperation) -> None:
    net = Network()
    net.output(Reduce(op=op, axes=(1,))(net.input("x", (4096, 2), DType.INT32)))
    exact = exact_integers(net)
    starts = torch.cat([torch.tensor(ENDS[:-1]).int(), random(4000), random(84) & -65536])
    pairs = torch.stack([starts, starts + 1], 1)
    assert torch.equal(exact.evaluate(pairs), REDUCED[op](pairs, (1,)))


def test_sums_along_an_axis_that_varies_have_sizes_that_do_not() -> None:
    """Sizes of halves of halves of a size were seen to keep TensorRT 8.6 for minutes."""
    net = Network()
    length = net.dim("length", min=1, opt=4, max=1000)
    x = net.input("x", (length, 3), DType.INT32)
    net.output(Reduce(op=ReduceOperation.SUM, axes=(0,))(x))
    varying = [op for op in exact_integers(net).operations if not op.outputs[0].type.is_static]
    assert not varying


def test_what_float32_holds_stays() -> None:
    net = Network()
    mask = net.input("mask", (8, 512), DType.BOOL)
    net.output(Reduce(op=ReduceOperation.SUM, axes=(1,))(mask.cast(DType.INT32)))
    net.output(Reduce(op=ReduceOperation.SUM, axes=(1,))(net.input("x", (2, 3))))
    kept = [type(operation.layer) for operation in exact_integers(net).operations]
    assert kept.count(Reduce) == 2


def test_a_product_of_bytes_leaves_what_float32_holds() -> None:
    net = Network()
    x = net.input("x", (4,), DType.UINT8)
    net.output(Reduce(op=ReduceOperation.PROD, axes=(0,))(x.cast(DType.INT32)))
    exact = exact_integers(net)
    assert not any(isinstance(operation.layer, Reduce) for operation in exact.operations)
    values = torch.tensor([251, 253, 255, 127], dtype=torch.uint8)
    assert exact.evaluate(values) == 251 * 253 * 255 * 127


def test_extremes_of_what_is_known_to_be_small_stay() -> None:
    net = Network()
    x = net.input("x", (4, 9), DType.INT32)
    places = net.constant(torch.arange(9, dtype=torch.int32)[None])
    for last in (9, 2**24):
        found = where(x.equal(7), places, last, DType.INT32)
        net.output(Reduce(op=ReduceOperation.MIN, axes=(1,))(found), f"of_{last}")
    exact = exact_integers(net)
    kept = [type(operation.layer) for operation in exact.operations]
    assert kept.count(Reduce) == 1 + 2
    values = random(4, 9) % 8
    values[0] = 7
    values[1] = 6
    for ours, theirs in zip(exact.evaluate(values), net.evaluate(values), strict=True):
        assert torch.equal(ours, theirs)
    assert exact.evaluate(values)[1].tolist()[:2] == [0, 2**24]


def test_the_least_integer_is_not_small() -> None:
    net = Network()
    x = net.input("x", (2,), DType.INT32)
    ends = net.constant(torch.tensor([-(2**31), 5], dtype=torch.int32))
    net.output(Reduce(op=ReduceOperation.MAX, axes=(0,))(where(x.equal(0), ends, 1, DType.INT32)))
    exact = exact_integers(net)
    assert len(exact.operations) > len(net.operations)
    values = torch.zeros(2, dtype=torch.int32)
    assert torch.equal(exact.evaluate(values), torch.tensor(5, dtype=torch.int32))


def test_a_constant_divided_by_what_comes_in(coarse: None) -> None:
    net = Network()
    x = net.input("x", (3,), DType.INT32)
    net.output(net.constant(torch.tensor([2**30 + 7, 2**24 + 1, 99], dtype=torch.int32)) // x, "y")
    divisors = torch.tensor([3, 1, 7], dtype=torch.int32)
    expected = torch.tensor([2**30 + 7, 2**24 + 1, 99], dtype=torch.int32) // divisors
    assert torch.equal(exact_integers(net).evaluate(divisors), expected)
