"""The operators of tensors against PyTorch's own: ranks, sizes, dtypes and values."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from tests.cases.base import f32, i32, i64
from tests.test_ir import assert_close
from trtdsl import operators
from trtdsl.errors import ConversionError, ShapeError
from trtdsl.network import Network, Tensor
from trtdsl.types import DType

NAN, INF = float("nan"), float("inf")
SCALARS: tuple[bool | int | float, ...] = (True, 2, 2.5)


def applied(function: Callable[..., Any], *values: Any) -> torch.Tensor:
    """The function of a network's tensors, evaluated; what is no tensor stays as it is."""
    net = Network()
    tensors = [v for v in values if isinstance(v, torch.Tensor)]
    inputs = iter([net.input(f"x{i}", x.shape, DType.of(x.dtype)) for i, x in enumerate(tensors)])
    result = function(*(next(inputs) if isinstance(v, torch.Tensor) else v for v in values))
    net.output(result, "y")
    value: torch.Tensor = net.evaluate(*tensors)
    assert net.outputs[0].type == result.type
    assert tuple(value.shape) == result.shape
    return value


def equals_pytorch(function: Callable[..., Any], *values: Any, tolerance: float = 0.0) -> None:
    assert_close(applied(function, *values), function(*values), tolerance)


def samples() -> list[Any]:
    """A tensor of every dtype, of rank 0 and of rank 1, and a scalar of every kind."""
    made = [torch.ones(shape, dtype=d.torch) for d in DType for shape in ((), (2,))]
    return [*made, *SCALARS]


def label(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{DType.of(value.dtype).short}-rank{value.dim()}"
    return repr(value)


PAIRS = [
    pytest.param(x, y, id=f"{label(x)}-{label(y)}")
    for x, y in itertools.product(samples(), samples())
    if isinstance(x, torch.Tensor) or isinstance(y, torch.Tensor)
]


@pytest.mark.parametrize(("x", "y"), PAIRS)
def test_dtypes_promote_as_in_pytorch(x: Any, y: Any) -> None:
    net = Network()
    mine = [
        net.input(f"x{i}", v.shape, DType.of(v.dtype)) if isinstance(v, torch.Tensor) else v
        for i, v in enumerate((x, y))
    ]
    expected = torch.result_type(x, y)
    if expected is torch.int16:  # uint8 with int8
        with pytest.raises(ShapeError, match=r"promote to torch\.int16"):
            operators.promoted(*mine)
        return
    assert operators.promoted(*mine).torch is expected


def test_a_symbolic_size_promotes_as_an_int() -> None:
    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    for dtype in DType:
        x = net.input(dtype.value, (b, 2), dtype)
        expected = torch.result_type(torch.ones(2, 2, dtype=dtype.torch), 2)
        assert operators.promoted(x, b).torch is expected
        assert operators.promoted(b, x).torch is expected


def test_three_values_promote_together() -> None:
    net = Network()
    x = net.input("x", (2,), DType.INT32)
    assert operators.promoted(x, 0, 1) is DType.INT32
    assert operators.promoted(x, 0, 1.5) is DType.FLOAT32
    assert operators.promoted(x, net.input("h", (), DType.FLOAT16), 1) is DType.FLOAT16


ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv]


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        (f32(2, 3), f32(2, 3, seed=1)),
        (f32(2, 3), f32(3)),
        (f32(4, 1, 3), f32(2, 1)),
        (f32(3), f32(2, 2, 3)),
        (f32(2, 3), torch.tensor(2.0)),
        (f32(2, 3), 3),
        (2.5, f32(2, 3)),
        (i64(2, 3), 2.5),
        (7, i32(2, 3, low=1)),
        (i32(2, 3), i64(3, low=1)),
        (f32(2, 3).half(), f32(3)),
        (f32(2, 3).half(), 0.1),
        (f32(2, 3).bfloat16(), torch.tensor(3.0)),
    ],
    ids=lambda v: label(v) + (str(list(v.shape)) if isinstance(v, torch.Tensor) else ""),
)
def test_arithmetic(function: Callable[..., Any], x: Any, y: Any) -> None:
    # TensorRT rounds a scalar beside a float16 tensor to float16; PyTorch does not.
    half = isinstance(y, float) and x.dtype is torch.float16
    equals_pytorch(function, x, y, tolerance=1e-3 if half else 1e-7)


def test_bools_add_as_or_and_multiply_as_and() -> None:
    x, y = torch.tensor([True, True, False, False]), torch.tensor([True, False, True, False])
    for function in (operator.add, operator.mul):
        equals_pytorch(function, x, y)
        equals_pytorch(function, x, True)
    equals_pytorch(operator.add, x, 2)
    assert applied(operators.maximum, x, y).tolist() == torch.maximum(x, y).tolist()
    assert applied(operators.minimum, x, y).tolist() == torch.minimum(x, y).tolist()


def test_what_pytorch_refuses_of_bools_is_refused() -> None:
    x = torch.tensor([True, False])
    with pytest.raises(ShapeError, match="takes no bool"):
        applied(operator.sub, x, x)
    with pytest.raises(ShapeError, match="no negative"):
        applied(operator.neg, x)


@pytest.mark.parametrize("function", [operator.floordiv, operator.mod])
@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.float32])
def test_division_that_rounds_down(function: Callable[..., Any], dtype: torch.dtype) -> None:
    x = torch.tensor([7, -7, 7, -7, 0, 6, -6, 1, -1], dtype=dtype)
    y = torch.tensor([2, 2, -2, -2, 3, 3, 3, -5, 5], dtype=dtype)
    equals_pytorch(function, x, y)
    for divisor in (3, -3):
        equals_pytorch(function, x, divisor)
    equals_pytorch(function, -13, y)


def test_powers_of_integers() -> None:
    x = torch.tensor([-3, -1, 0, 1, 2, 5])
    for exponent in range(7):
        equals_pytorch(operator.pow, x, exponent)
        equals_pytorch(operator.pow, x.int(), exponent)


def test_powers_of_floats() -> None:
    x = f32(2, 3, low=0.1, high=3.0)
    for exponent in (0, 2, 3, -1, 0.5, -1.5):
        equals_pytorch(operator.pow, x, exponent, tolerance=1e-6)
    equals_pytorch(operator.pow, x, f32(3, seed=3), tolerance=1e-6)
    equals_pytorch(operator.pow, 2.0, x, tolerance=1e-6)


def test_powers_of_integers_by_integers() -> None:
    x = torch.tensor([2, -3, 1, -1, 0, 7])
    for exponent in (torch.tensor([5, 3, -4, -7, 2, 0]), torch.tensor(3)):
        equals_pytorch(operator.pow, x, exponent)
        equals_pytorch(operator.pow, x.int(), exponent.int())
    equals_pytorch(operator.pow, -2, torch.tensor([0, 1, 31, 62]))


def test_powers_that_integers_have_not_are_refused() -> None:
    with pytest.raises(ShapeError, match="integers have no such power"):
        applied(operator.pow, torch.tensor([2, 3]), -1)


COMPARISONS = {
    operator.lt: torch.lt,
    operator.gt: torch.gt,
    operator.le: torch.le,
    operator.ge: torch.ge,
    Tensor.equal: torch.eq,
}
VALUES = torch.tensor([NAN, -INF, -1.0, 0.0, 1.0, INF])


@pytest.mark.parametrize("function", COMPARISONS)
def test_comparisons_and_nan(function: Callable[..., Any]) -> None:
    x, y = torch.meshgrid(VALUES, VALUES, indexing="ij")
    reference = COMPARISONS[function]
    assert torch.equal(applied(function, x.contiguous(), y.contiguous()), reference(x, y))
    for scalar in (0, 1.0, -INF, NAN):
        assert torch.equal(applied(function, VALUES, scalar), reference(VALUES, scalar))


@pytest.mark.parametrize("function", COMPARISONS)
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.bool, torch.uint8, torch.int8])
def test_comparisons_of_integers(function: Callable[..., Any], dtype: torch.dtype) -> None:
    x, y = torch.tensor([0, 1, 1, 0]).to(dtype), torch.tensor([0, 0, 1, 1]).to(dtype)
    assert torch.equal(applied(function, x, y), COMPARISONS[function](x, y))
    assert torch.equal(applied(function, x, 1), COMPARISONS[function](x, 1))


def test_comparisons_are_as_exact_as_the_dtype() -> None:
    large = torch.tensor([2**40, 2**40 + 1])
    assert applied(Tensor.equal, large, 2**40).tolist() == [True, False]
    assert applied(operator.lt, 2**40, large).tolist() == [False, True]


def test_logic_takes_anything_but_0_for_true() -> None:
    x, y = torch.tensor([0, 2, 0, -1]), torch.tensor([0.0, 0.0, 0.5, NAN])
    assert torch.equal(applied(operator.and_, x, y), torch.logical_and(x, y))
    assert torch.equal(applied(operator.or_, x, y), torch.logical_or(x, y))
    assert torch.equal(applied(operator.xor, x, y), torch.logical_xor(x, y))
    assert torch.equal(applied(operator.invert, y), torch.logical_not(y))


def test_negative_of_every_number() -> None:
    for x in (f32(3), i64(3), i32(3), f32(3).half()):
        equals_pytorch(operator.neg, x)


def test_where_takes_scalars_on_either_side() -> None:
    c, x = torch.tensor([[True], [False]]), f32(3)
    assert torch.equal(applied(operators.where, c, x, 0), torch.where(c, x, 0))
    assert torch.equal(applied(operators.where, c, -INF, x), torch.where(c, -INF, x))
    y = i64(2, 1)
    assert torch.equal(applied(operators.where, c, y, x), torch.where(c, y, x))


RANKS = [
    ((4,), (4,)), ((3, 4), (4,)), ((4,), (4, 5)), ((3, 4), (4, 5)), ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)), ((2, 3, 4), (4, 5)), ((3, 4), (2, 4, 5)), ((2, 3, 4), (2, 4, 5)),
    ((6, 1, 3, 4), (2, 4, 5)), ((4,), (6, 2, 4, 5)), ((6, 2, 3, 4), (4,)),
    ((1, 3, 4), (6, 2, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("x", "y"), RANKS)
def test_matmul_of_all_ranks(x: tuple[int, ...], y: tuple[int, ...]) -> None:
    equals_pytorch(operator.matmul, f32(*x), f32(*y, seed=1), tolerance=1e-6)


@pytest.mark.parametrize(
    ("x", "y", "reason"),
    [
        ((3, 4), (5, 6), "inner sizes 4 and 5"),
        ((2, 3, 4), (3, 4, 5), "do not broadcast"),
        ((), (3,), "is no vector|is no matrix"),
    ],
)
def test_matmul_refuses(x: tuple[int, ...], y: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ShapeError, match=reason):
        applied(operator.matmul, f32(*x), f32(*y))


def test_reshape() -> None:
    x = f32(2, 3, 4)
    for shape in ((6, 4), (-1,), (4, -1), (2, -1, 4), (24, 1, 1)):
        assert torch.equal(applied(lambda x, s=shape: x.reshape(*s), x), x.reshape(shape))
    net = Network()
    y = net.input("y", (2, 3))
    assert y.reshape(2, -1) is y
    assert net.input("empty", (0, 3)).reshape(-1, 3).shape == (0, 3)


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ((5, 5), "24 elements"),
        ((5, -1), "24 elements"),
        ((-1, -1), "several"),
        ((0, -1), "several"),
    ],
)
def test_reshape_refuses(shape: tuple[int, ...], reason: str) -> None:
    with pytest.raises(ShapeError, match=reason):
        applied(lambda x: x.reshape(*shape), f32(2, 3, 4))


def test_permute() -> None:
    x = f32(2, 3, 4)
    for order in ((2, 0, 1), (-1, 0, 1), (0, 2, 1)):
        assert torch.equal(applied(lambda x, o=order: x.permute(*o), x), x.permute(order))
    for wrong in ((0, 1), (0, 1, 1), (0, 1, 5), (0, 1, -4)):
        with pytest.raises(ShapeError, match="no order of"):
            applied(lambda x, o=wrong: x.permute(*o), x)


def test_symbolic_sizes_are_operands() -> None:
    net = Network()
    b = net.dim("b", min=1, opt=2, max=8)
    x = net.input("x", (b, 3))
    net.output(x / b, "mean")
    net.output(b - x, "rest")
    net.output(x.reshape(-1), "flat")
    net.output(x.reshape(3, -1), "turned")
    net.output(x * (2 * b + 1) + (b // 2), "mixed")
    net.output(net.size(b, 3 * b), "sizes")
    assert [y.shape for y in net.outputs[:4]] == [(b, 3), (b, 3), (3 * b,), (3, b)]
    for n in (1, 5):
        v = f32(n, 3)
        mean, rest, flat, turned, mixed, sizes = net.evaluate(v)
        assert torch.equal(mean, v / n)
        assert torch.equal(rest, n - v)
        assert torch.equal(flat, v.reshape(-1))
        assert torch.equal(turned, v.reshape(3, -1))
        assert torch.equal(mixed, v * (2 * n + 1) + n // 2)
        assert sizes.tolist() == [n, 3 * n]


def test_two_symbolic_sizes_that_must_be_equal_are_checked_when_it_runs() -> None:
    net = Network()
    a, b = net.dim("a", min=1, opt=2, max=8), net.dim("b", min=1, opt=2, max=8)
    net.output(net.input("x", (a,)) + net.input("y", (b,)))
    assert net.evaluate(torch.ones(3), torch.ones(3)).tolist() == [2.0, 2.0, 2.0]
    with pytest.raises(RuntimeError, match="must match"):
        net.evaluate(torch.ones(3), torch.ones(4))


def test_casts_cut_off_and_keep_nan_out_of_bools() -> None:
    x = torch.tensor([-1.7, 0.0, 0.4, 2.9])
    assert applied(lambda x: x.cast(DType.INT32), x).tolist() == [-1, 0, 0, 2]
    assert applied(lambda x: x.cast(DType.BOOL), x).tolist() == [True, False, True, True]
    net = Network()
    y = net.input("y", (2,))
    assert y.cast(DType.FLOAT32) is y


def test_shapes_that_differ_are_an_error_with_both_of_them() -> None:
    net = Network()
    x, y = net.input("x", (2, 3)), net.input("y", (4, 3))
    with pytest.raises(ShapeError, match=r"broadcast: f32\[2, 3\] and f32\[4, 3\]") as caught:
        x + y
    assert "at:  element_wise(x: f32[2, 3], y: f32[4, 3])" in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64])
@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: x + y,
        lambda x, y: y - x,
        lambda x, y: (x < y) & (y < 2),
        lambda x, y: (y > 0) ^ (x > 0),
        lambda x, y: x * np.float64(2) + np.float32(0.5),
    ],
)
def test_arrays_are_constants(function: Callable[..., Any], dtype: torch.dtype) -> None:
    x, array = f32(3, 4), f32(3, 4, seed=1).mul(3).to(dtype)
    expected = function(x, array)
    for operand in (array, array.numpy()):
        net = Network()
        net.output(function(net.input("x", (3, 4)), operand))
        torch.testing.assert_close(net.evaluate(x), expected)


def test_arrays_are_factors_of_matrix_products() -> None:
    x, y = f32(3, 4), f32(4, 2, seed=1)
    for left, right in ((None, y), (None, y.numpy()), (x, None), (x.numpy(), None)):
        net = Network()
        given = net.input("given", (3, 4) if left is None else (4, 2))
        net.output((given if left is None else left) @ (given if right is None else right))
        torch.testing.assert_close(net.evaluate(x if left is None else y), x @ y)


@pytest.mark.parametrize("function", [lambda x, y: x + y, lambda x, y: y - x, lambda x, y: x @ y])
@pytest.mark.parametrize("operand", [None, "1", [1.0, 2.0], 1j, object()])
def test_what_is_no_operand_is_refused_by_name(function: Callable[..., Any], operand: Any) -> None:
    net = Network()
    with pytest.raises(ShapeError, match=f"is a {type(operand).__name__}, and operands are"):
        function(net.input("x", (2, 2)), operand)


def test_dtypes_are_pytorchs_too() -> None:
    net = Network()
    x = net.input("x", (2,), torch.int32)  # type: ignore[arg-type]
    net.output(x.cast(torch.float16) + net.constant([0.5, 1.5], torch.float16))  # type: ignore[arg-type]
    answer = net.evaluate(torch.tensor([1, 2], dtype=torch.int32))
    assert (answer.dtype, answer.tolist()) == (torch.float16, [1.5, 3.5])
    has = "it has float32, float16, bfloat16, int64, int32, int8, uint8, bool"
    with pytest.raises(ShapeError, match=f"input y: TensorRT has no dtype torch.float64; {has}"):
        net.input("y", (2,), torch.float64)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"cast: TensorRT has no dtype torch\.complex64"):
        x.cast(torch.complex64)  # type: ignore[arg-type]


def test_numbers_that_a_dtype_has_not_are_refused() -> None:
    net = Network()
    with pytest.raises(ConversionError, match=f"{2**40} makes no constant of int32"):
        net.constant(2**40, DType.INT32)
    with pytest.raises(ConversionError, match="makes no constant"):
        net.constant([[1, 2], [3]])


def test_an_output_is_a_tensor() -> None:
    net = Network()
    x = net.input("x", (2,))
    with pytest.raises(ShapeError, match=r"output y: False is a bool(.|\n)*x\.equal\(y\)"):
        net.output(x == 1, "y")  # type: ignore[arg-type]


def test_a_tensor_has_no_truth() -> None:
    x = Network().input("x", (2,))
    with pytest.raises(ConversionError, match="only known when the engine runs") as caught:
        assert x < 0
    assert "where(condition, a, b)" in str(caught.value)
