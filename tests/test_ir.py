"""Every layer: ``infer``, ``evaluate``, ``expand`` and ``lower`` agree, also with a reference."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from typing import Any

import pytest
import sympy
import torch

import tests.cases.ir as tables
import trtdsl
import trtdsl.ir
from tests.cases.base import LayerCase
from trtdsl.ir.base import Layer
from trtdsl.network import Network, Tensor
from trtdsl.reference import run
from trtdsl.types import DType, TensorType

FAMILIES = [m.name for m in pkgutil.iter_modules(tables.__path__)]
CASES = [
    pytest.param(case, id=f"{family}-{i}-{case}")
    for family in FAMILIES
    for i, case in enumerate(importlib.import_module(f"tests.cases.ir.{family}").CASES)
]


def layers() -> set[type[Layer]]:
    """Every layer class that trtdsl.ir defines."""
    modules = [
        importlib.import_module(f"trtdsl.ir.{m.name}")
        for m in pkgutil.iter_modules(trtdsl.ir.__path__)
    ]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Layer) and not inspect.isabstract(value)
    }


def build(case: LayerCase, sizes: dict[tuple[int, int], Any] | None = None) -> Network:
    """A network of the row's one layer."""
    net = Network(case.layer.kind)
    for name in set(case.symbolic.values()) if sizes else ():
        net.dim(name, min=1, opt=4, max=64)
    inputs = [
        net.constant(x)
        if i in case.constants
        else net.input(f"x{i}", shape_of(case, i, sizes or {}), DType.of(x.dtype))
        for i, x in enumerate(case.inputs)
    ]
    outputs = net.append(case.layer, tuple(inputs))
    for i, output in enumerate(outputs):
        net.output(output, f"y{i}")
    return net


def shape_of(case: LayerCase, i: int, sizes: dict[tuple[int, int], Any]) -> tuple[Any, ...]:
    return tuple(sizes.get((i, axis), size) for axis, size in enumerate(case.inputs[i].shape))


def leaves(case: LayerCase) -> list[torch.Tensor]:
    return [x for i, x in enumerate(case.inputs) if i not in case.constants]


def assert_close(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    if not expected.is_floating_point():
        assert torch.equal(actual, expected)
        return
    actual, expected = actual.double(), expected.double()
    finite = expected.isfinite()
    assert torch.equal(actual.nan_to_num(7.0)[~finite], expected.nan_to_num(7.0)[~finite])
    if finite.any():
        scale = expected[finite].abs().max().clamp_min(1e-30)
        error = (actual[finite] - expected[finite]).abs().max() / scale
        assert error <= tolerance, f"relative error {error:.2e} > {tolerance:.2e}"


def answers(value: Any) -> tuple[torch.Tensor, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


@pytest.mark.parametrize("case", CASES)
def test_evaluate_equals_reference(case: LayerCase) -> None:
    expected = answers(case.reference(*case.inputs))
    for actual, wanted in zip(run(build(case), leaves(case)), expected, strict=True):
        assert_close(actual, wanted, case.tolerance)


@pytest.mark.parametrize("case", CASES)
def test_infer_equals_evaluate(case: LayerCase) -> None:
    net = build(case)
    for tensor, value in zip(net.outputs, run(net, leaves(case)), strict=True):
        assert tensor.type == TensorType(DType.of(value.dtype), tuple(value.shape))


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].symbolic])
def test_symbolic_sizes_bind_to_the_static_ones(case: LayerCase) -> None:
    symbols = {n: sympy.Symbol(n, integer=True, positive=True) for n in case.symbolic.values()}
    net = build(case, {place: symbols[name] for place, name in case.symbolic.items()})
    static = build(case)
    sizes = {symbols[n]: case.inputs[i].shape[a] for (i, a), n in case.symbolic.items()}
    for symbolic, fixed in zip(net.outputs, static.outputs, strict=True):
        bound = tuple(d if isinstance(d, int) else int(d.subs(sizes)) for d in symbolic.shape)
        assert bound == fixed.shape
        assert any(not isinstance(d, int) for d in symbolic.shape)
    for actual, wanted in zip(run(net, leaves(case)), run(static, leaves(case)), strict=True):
        assert torch.equal(actual.nan_to_num(), wanted.nan_to_num())


@pytest.mark.parametrize("case", CASES)
def test_expand_equals_evaluate(case: LayerCase) -> None:
    types = [TensorType(DType.of(x.dtype), tuple(x.shape)) for x in case.inputs]
    if type(case.layer).available is Layer.available and case.layer.takes(*types):
        pytest.skip("every TensorRT release has this form of the layer")
    net = Network("expanded")
    inputs = [
        net.constant(x)
        if i in case.constants
        else net.input(f"x{i}", tuple(x.shape), DType.of(x.dtype))
        for i, x in enumerate(case.inputs)
    ]
    try:
        expanded = case.layer.expand(*inputs)
    except trtdsl.ShapeError as error:
        if "no such layer" not in str(error):
            raise
        pytest.skip("every TensorRT release has this form of the layer")
    outputs = expanded if isinstance(expanded, tuple) else (expanded,)
    for output in outputs:
        assert isinstance(output, Tensor)
        net.output(output)
    expected = run(build(case), leaves(case))
    for actual, wanted in zip(run(net, leaves(case)), expected, strict=True):
        assert_close(actual, wanted, case.tolerance)


def test_every_layer_has_a_row() -> None:
    seen = {type(case.values[0].layer) for case in CASES}
    assert layers() - seen == set()
