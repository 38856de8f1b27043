"""Every converter: PyTorch itself against the traced network's evaluation, static and dynamic."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import tests.cases as tables
import trtdsl
from tests.cases.base import Case
from tests.test_ir import answers, assert_close
from trtdsl.registry import registered
from trtdsl.types import symbols

FAMILIES = [
    m.name for m in pkgutil.iter_modules(tables.__path__) if not m.ispkg and m.name != "base"
]
CASES = [
    pytest.param(case, id=f"{family}-{i}-{case}")
    for family in FAMILIES
    for i, case in enumerate(importlib.import_module(f"tests.cases.{family}").CASES)
]


class Call(nn.Module):
    """A module that calls one operator; constant tensors are its buffers."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case
        for i in case.constants:
            self.register_buffer(f"constant{i}", case.args[i])

    def forward(self, *inputs: torch.Tensor) -> Any:
        tensors = iter(inputs)

        def place(value: Any) -> Any:
            if isinstance(value, torch.Tensor):
                return next(tensors)
            if isinstance(value, list | tuple):
                return type(value)(place(v) for v in value)
            return value

        args = [
            getattr(self, f"constant{i}") if i in self.case.constants else place(a)
            for i, a in enumerate(self.case.args)
        ]
        kwargs = {k: place(v) for k, v in self.case.kwargs.items()}
        return self.case.operator(*args, **kwargs)


def tensors_of(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in tensors_of(v)] if isinstance(value, list | tuple) else []


def inputs_of(case: Case) -> list[torch.Tensor]:
    args = [a for i, a in enumerate(case.args) if i not in case.constants]
    return [t for value in [*args, *case.kwargs.values()] for t in tensors_of(value)]


def module_of(case: Case) -> nn.Module:
    return Call(case).eval()


def resized(x: torch.Tensor, axes: dict[int, int]) -> torch.Tensor:
    """The tensor with another size along some axes, its values repeated and shifted."""
    for axis, size in axes.items():
        times = -(-size // max(x.shape[axis], 1))
        x = torch.cat([x] * times, dim=axis).narrow(axis, 0, size)
    return x.contiguous()


def dims_of(case: Case, suffix: str = "") -> dict[str, Dim]:
    """The Dims of a row; other axes than the first start at the example, as windows need room."""
    inputs = inputs_of(case)
    return {
        name: Dim(f"{name}{suffix}", min=inputs[i].shape[axis] if axis else 1, max=64)
        for (i, axis), name in case.dynamic.items()
    }


def specs_of(case: Case, count: int) -> Any:
    dims = dims_of(case)
    return tuple(
        {axis: dims[name] for (index, axis), name in case.dynamic.items() if index == i} or None
        for i in range(count)
    )


def at_size(case: Case, inputs: list[torch.Tensor], change: int) -> list[torch.Tensor]:
    """The inputs with every dynamic size changed by ``change``."""
    return [
        resized(x, {a: x.shape[a] + change for (index, a) in case.dynamic if index == i})
        for i, x in enumerate(inputs)
    ]


def check(
    network: trtdsl.Network, module: nn.Module, inputs: list[torch.Tensor], case: Case
) -> None:
    expected = answers(module(*(x.clone() for x in inputs)))
    actual = answers(network.evaluate(*inputs))
    for ours, theirs in zip(actual, expected, strict=True):
        assert_close(ours, theirs, case.tolerance)


@pytest.mark.parametrize("case", CASES)
def test_converter_equals_pytorch(case: Case) -> None:
    module, inputs = module_of(case), inputs_of(case)
    if case.fails:
        with pytest.raises(trtdsl.TrtdslError, match=case.fails):
            trtdsl.trace(module, tuple(inputs))
        return
    check(trtdsl.trace(module, tuple(inputs)), module, inputs, case)


@pytest.mark.parametrize("case", [c for c in CASES if c.values[0].dynamic])
def test_one_dynamic_trace_equals_pytorch_at_three_sizes(case: Case) -> None:
    module, inputs = module_of(case), inputs_of(case)
    shapes = {"inputs": specs_of(case, len(inputs))}
    spec = {f"inputs_{i}": s for i, s in enumerate(shapes["inputs"])}
    network = trtdsl.trace(module, tuple(inputs), dynamic_shapes=spec)
    assert set().union(*(symbols(x.shape) for x in network.inputs)) == set(case.dynamic.values())
    for change in (0, 1, 4):
        check(network, module, at_size(case, inputs, change), case)


CALLED = {
    *("aten.item.default", "aten._local_scalar_dense.default"),  # give no tensor
    *(f"aten.{name}.default" for name in ("empty_like", "empty_permuted", "empty_strided")),
    *("aten.empty.memory_format", "aten.new_empty.default", "aten.new_empty_strided.default"),
    *("aten.fractional_max_pool2d.default", "aten.fractional_max_pool3d.default"),
    "aten.segment_reduce.default",
}
"""Have no row of their own: rows that are functions call them."""


def test_every_converter_has_a_row() -> None:
    seen = {str(case.values[0].operator) for case in CASES}
    own = {str(op) for op in registered() if str(op).startswith("aten.")}
    assert own - seen == CALLED
