"""Every row of the tables again, in TensorRT engines: layers and converters, static and dynamic."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import pytest
import torch

import trtdsl
from tests import test_converters as converters
from tests import test_ir as ir
from tests.cases.base import Case, LayerCase
from tests.gpu.merge import Row, run_rows

pytestmark = pytest.mark.gpu

CHUNK = 40
"""Rows in a test."""
LONG = {"number": 7, "linear_algebra": 10, "recurrent": 10}
"""Families of rows of hundreds of layers each."""
LAYERS = 600
"""Layers in an engine: builds of more take minutes."""
FLOAT32 = 1e-4
"""TensorRT sums in another order than PyTorch; TF32 is off."""
FLOAT16 = 1e-2
OLDER = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
"""Whether PyTorch is older than the constraints file pins."""


def chunks(cases: Sequence[Any]) -> list[Any]:
    """The rows by family, at most CHUNK a test."""
    families: dict[str, list[Any]] = {}
    for parameter in cases:
        # On TensorRT 8.6 one float16 layer lets the builder round all of an engine's tensors.
        half = "-half" if mentions_half(parameter.values[0]) else ""
        families.setdefault(parameter.id.split("-")[0] + half, []).append(parameter)
    return [
        pytest.param(rows[i : i + size], id=f"{family}-{i // size}")
        for family, rows in families.items()
        for size in [LONG.get(family, CHUNK)]
        for i in range(0, len(rows), size)
    ]


HALVES = (torch.float16, torch.bfloat16)


def mentions_half(case: LayerCase | Case) -> bool:
    """Whether a row has 16-bit tensors, as its inputs or as its attributes and arguments say."""
    if isinstance(case, LayerCase):
        words = repr(case.layer)
        return "FLOAT16" in words or "f16" in words or any(x.dtype in HALVES for x in case.inputs)
    tensors = converters.tensors_of([*case.args, *case.kwargs.values()])
    return any(x.dtype in HALVES for x in tensors) or "float16" in str((case.args, case.kwargs))


def tolerance(case: LayerCase | Case, inputs: Sequence[torch.Tensor]) -> float:
    half = any(x.dtype in HALVES for x in inputs)
    return max(case.tolerance, FLOAT16 if half else FLOAT32)


def layer_row(parameter: Any) -> Row:
    case: LayerCase = parameter.values[0]
    return Row(
        name=parameter.id,
        network=ir.build(case),
        leaves=ir.leaves(case),
        expected=ir.answers(case.reference(*case.inputs)),
        tolerance=tolerance(case, case.inputs),
    )


def converter_row(parameter: Any, change: int | None = None, number: int = 0) -> Row:
    """A row; ``change`` makes its dynamic sizes symbolic, and adds to them after the trace."""
    case: Case = parameter.values[0]
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    shapes = None
    if change is not None:
        dims = converters.dims_of(case, f"_{number}")
        shapes = {
            f"inputs_{i}": {a: dims[n] for (j, a), n in case.dynamic.items() if j == i} or None
            for i in range(len(inputs))
        }
    network = trtdsl.trace(module, tuple(inputs), dynamic_shapes=shapes)
    leaves = inputs if change is None else converters.at_size(case, inputs, change)
    expected = ir.answers(module(*(x.clone() for x in leaves)))
    return Row(parameter.id, network, leaves, expected, tolerance(case, inputs))


def fits(parameter: Any) -> bool:
    """Whether what goes in and comes out of a row is within int32, TensorRT 8.6's only integer."""
    case: Case = parameter.values[0]
    module, inputs = converters.module_of(case), converters.inputs_of(case)
    tensors = [*inputs, *converters.tensors_of([*case.args, *case.kwargs.values()])]
    tensors += ir.answers(module(*(x.clone() for x in inputs)))
    wide = [x for x in tensors if x.dtype is torch.int64 and x.numel()]
    return all(x.min() >= -(2**31) and x.max() < 2**31 for x in wide)


def parts(rows: Sequence[Row]) -> list[list[Row]]:
    """The rows in order, in as few engines as hold so many layers each."""
    found: list[list[Row]] = [[]]
    layers = 0
    for row in rows:
        layers += len(row.network.operations)
        if found[-1] and layers > LAYERS:
            found.append([])
            layers = len(row.network.operations)
        found[-1].append(row)
    return found


def assert_right(rows: list[Row]) -> None:
    problems = [problem for part in parts(rows) for problem in run_rows(part)]
    if problems and (place := os.environ.get("TRTDSL_PROBLEMS")):
        with open(place, "a") as file:
            file.writelines(f"{p}\n" for p in problems)
    assert not problems, "\n".join(problems)


def assert_all_right(cases: Sequence[Any], change: int | None = None) -> None:
    """Every row, but for the few that an older PyTorch exports otherwise than the pinned one."""
    rows, refused = [], []
    for number, case in enumerate(cases):
        try:
            rows.append(converter_row(case, change, number))
        except trtdsl.ConversionError:
            if not OLDER:
                raise
            refused.append(case.id)
    assert_right(rows)
    if len(refused) > len(cases) // 2:
        pytest.skip(f"PyTorch {torch.__version__} exports too few of these rows; not {refused}")


def runs_here(parameter: Any) -> bool:
    return not parameter.values[0].gpu and not getattr(parameter.values[0], "fails", "")


@pytest.mark.parametrize("cases", chunks([c for c in ir.CASES if runs_here(c)]))
def test_layers(cases: list[Any]) -> None:
    assert_right([layer_row(c) for c in cases])


@pytest.mark.parametrize("cases", chunks([c for c in converters.CASES if runs_here(c)]))
def test_converters(cases: list[Any]) -> None:
    assert_all_right([c for c in cases if fits(c)])


@pytest.mark.parametrize(
    "cases", chunks([c for c in converters.CASES if runs_here(c) and c.values[0].dynamic])
)
@pytest.mark.parametrize("change", [0, 3])
def test_converters_with_dynamic_sizes(cases: list[Any], change: int) -> None:
    assert_all_right([c for c in cases if fits(c)], change)
