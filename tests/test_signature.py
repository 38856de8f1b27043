"""``trtdsl.signature``: how arguments are bound, and every way in which a call can be wrong."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from trtdsl.errors import LoadError, RunError
from trtdsl.manifest import TensorSpec
from trtdsl.runtime.expression import evaluate, solve, symbols_of
from trtdsl.signature import Signature, check_device, kind_of
from trtdsl.tree import flatten
from trtdsl.types import DimRange, DType

X = torch.zeros(4, 3)
M = torch.zeros(8, dtype=torch.int64)


def spec(name: str, dtype: DType, *shape: int | str) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, engine_dtype=dtype, shape=shape)


def signature(args: Any, kwargs: Any, parameters: tuple[str, ...], *specs: TensorSpec) -> Signature:
    return Signature(
        inputs=specs,
        input_tree=flatten((args, kwargs))[1],
        parameters=parameters,
        symbols={"b": DimRange(min=1, opt=4, max=8), "n": DimRange(min=2, opt=2, max=5)},
    )


XB = spec("x", DType.FLOAT32, "b", 3)
M2 = spec("mask", DType.INT64, "2*b")
TWO = signature((X, M), {}, ("x", "mask"), XB, M2)
NESTED = signature((X, {"mask": M}, True), {"scale": 2.0}, ("x", "extra", "flag"), XB, M2)


def test_bind_by_position_by_name_and_mixed() -> None:
    for args, kwargs in (((X, M), {}), ((X,), {"mask": M}), ((), {"mask": M, "x": X})):
        x, mask = TWO.bind(args, kwargs)
        assert x is X
        assert mask is M


def test_bind_a_keyword_input_by_position() -> None:
    by_name = signature((X,), {"mask": M}, ("x", "mask"), XB, M2)
    x, mask = by_name.bind((X, M), {})
    assert x is X
    assert mask is M


def test_bind_constants() -> None:
    assert NESTED.bind((X, {"mask": M}, True), {"scale": 2.0})[1] is M
    assert NESTED.bind((X, {"mask": M}, True), {})[1] is M
    assert NESTED.bind((X,), {"flag": True, "extra": {"mask": M}})[1] is M


def test_is_flat() -> None:
    assert TWO.is_flat
    assert not NESTED.is_flat
    assert not signature(((X, M), True), {}, ("x", "flag"), XB, M2).is_flat
    assert not signature((X,), {"mask": M}, ("x", "mask"), XB, M2).is_flat


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((X,), {}, r"takes 4 arguments \(x, extra, flag, scale\), and 1 was given"),
        ((X, {"mask": M}, True, 2.0), {}, "takes 4 arguments .* and 4 were given"),
        ((X, {"mask": M}, True), {"other": 1}, "among them the unknown other"),
        ((X, {"mask": M}, True), {"x": X}, "x was given twice"),
        ((X, {"mask": M}, False), {}, "flag was fixed at conversion to True, and now is False"),
        ((X, {"mask": M}, 1), {}, "flag was fixed at conversion to True, and now is 1"),
        ((X, {"mask": M}, X), {}, "flag was fixed at conversion to True, and now is a Tensor"),
        ((X, {"mask": M}, True), {"scale": 3.0}, "scale was fixed at conversion to 2.0, .* 3.0"),
        ((X, {"ids": M}, True), {}, r"extra had the keys \['mask'\] .* has the keys \['ids'\]"),
        ((X, [M], True), {}, "extra was a dict at conversion, and now is a list"),
        ((X, {"mask": 3}, True), {}, r"extra\.mask was a tensor at conversion, and now is 3"),
    ],
)
def test_arguments_that_do_not_bind(args: Any, kwargs: Any, words: str) -> None:
    with pytest.raises(RunError, match=words):
        NESTED.bind(args, kwargs)


def test_check_gives_the_symbols() -> None:
    assert TWO.check([X, M]) == {"b": 4}
    assert TWO.check([X.numpy(), M.numpy()]) == {"b": 4}


@pytest.mark.parametrize("size", [0, 9])
def test_outside_the_range(size: int) -> None:
    with pytest.raises(RunError, match=rf"x has {size} at axis 0, .* b in 1\.\.8") as error:
        TWO.check([torch.zeros(size, 3), torch.zeros(2 * size, dtype=torch.int64)])
    assert "fix: keep b in 1..8" in str(error.value)


@pytest.mark.parametrize(
    ("leaves", "words"),
    [
        (
            [X.double(), M],
            r"x is float64, and the engine takes float32(.|\n)*x\.to\(torch\.float32",
        ),
        ([X, M.int()], r"mask is int32, and the engine takes int64"),
        ([X.numpy().astype("f8"), M.numpy()], r"x is float64(.|\n)*x\.astype\('float32'\)"),
        ([X.numpy().astype(">f4"), M.numpy()], r"x is >f4, and the engine takes float32"),
        ([torch.zeros(3, 4).t(), M], r"not contiguous: .* strides \(1, 4\)(.|\n)*x\.contiguous"),
        ([torch._neg_view(X), M], r"input x is a view that negates(.|\n)*x\.resolve_neg\(\)"),
        ([X.numpy()[::-1], M.numpy()], r"not contiguous(.|\n)*np\.ascontiguousarray\(x\)"),
        ([torch.zeros(4, 5), M], r"the shape \(4, 5\), and the engine takes \(b, 3\)"),
        ([X[0], M], r"the shape \(3,\), and the engine takes \(b, 3\)"),
        ([X, M[:6]], r"mask has 6 at axis 0, and 2\*b must be 8 there: b is 4 in input x, axis 0"),
        ([X], "takes 2 tensors, given 1"),
    ],
)
def test_tensors_that_do_not_fit(leaves: Any, words: str) -> None:
    with pytest.raises(RunError, match=words):
        TWO.check(leaves)


def test_a_symbol_in_two_inputs() -> None:
    both = signature((X, X), {}, ("x", "y"), XB, spec("y", DType.FLOAT32, "b", 3))
    with pytest.raises(
        RunError, match="y has 2 at axis 0, and b must be 4 there: b is 4 in input x"
    ):
        both.check([X, X[:2]])


def test_a_symbol_that_only_an_expression_has() -> None:
    odd = signature((X,), {}, ("x",), spec("x", DType.FLOAT32, "2*b + 1", "Max(n, 3)"))
    assert odd.check([torch.zeros(7, 5)]) == {"b": 3, "n": 5}
    with pytest.raises(RunError, match=r"x has 6 at axis 0, where the engine takes 2\*b \+ 1"):
        odd.check([torch.zeros(6, 5)])
    with pytest.raises(RunError, match="several unknowns: b, n"):
        signature((X,), {}, ("x",), spec("x", DType.FLOAT32, "b*n")).check([torch.zeros(4)])


def test_numpy_and_torch_do_not_mix() -> None:
    assert kind_of([X, M]) == "torch"
    assert kind_of([X.numpy()]) == "numpy"
    with pytest.raises(RunError, match="numpy arrays and torch tensors in one call: torch, numpy"):
        kind_of([X, M.numpy()])


def test_tensors_of_another_library_are_refused() -> None:
    with pytest.raises(RunError, match=r"an input is a builtins\.memoryview"):
        kind_of([X, memoryview(b"abc")])


@pytest.mark.parametrize(("device", "fix"), [("cuda:0", "x.cuda()"), ("cuda:1", "x.to('cuda:1')")])
def test_another_device(device: str, fix: str) -> None:
    with pytest.raises(RunError) as error:
        check_device(TWO.inputs, [X, M], device)
    assert f"input x is on cpu, and this runs on {device}" in str(error.value)
    assert fix in str(error.value)
    check_device(TWO.inputs, [X, M], "cpu")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2*batch + 1", 11),
        ("-batch + n", 2),
        ("batch // 2", 2),
        ("floor(batch/2)", 2),
        ("floor(-batch/2)", -3),
        ("ceiling(batch/2)", 3),
        ("batch % 3", 2),
        ("Mod(batch, 3)", 2),
        ("Max(batch, n, 6)", 7),
        ("Min(batch, n)", 5),
        ("batch**2 - batch*n", -10),
        ("3*(batch/3)", 5),
        ("12", 12),
    ],
)
def test_expressions(text: str, value: int) -> None:
    assert evaluate(text, {"batch": 5, "n": 7}) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "batch.real",
        "[1]",
        "batch**99999",
        "2**batch",
        "1.5",
        "batch/2",
        "a b",
        "batch // 0",
        "floor(batch, x=1)",
        "batch if batch else 1",
    ],
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(LoadError):
        evaluate(text, {"batch": 5})


def test_symbols_of() -> None:
    assert symbols_of("floor(batch/2) + Max(n, 3)") == {"batch", "n"}


def test_sizes_may_be_called_like_functions() -> None:
    assert symbols_of("Mod(Mod, Max) + floor") == {"Mod", "Max", "floor"}
    assert evaluate("Mod(Mod, Max) + floor", {"Mod": 7, "Max": 4, "floor": 2}) == 5


@pytest.mark.parametrize("text", ["2*b + 1", "floor(b/3) + 2", "100 - b", "b**2", "Max(b, 20)"])
def test_solve_finds_the_smallest(text: str) -> None:
    within = DimRange(min=1, opt=10, max=60)
    for size in range(0, 130):
        fitting = [b for b in range(1, 61) if evaluate(text, {"b": b}) == size]
        assert solve(text, size, "b", within) == (fitting[0] if fitting else None)
