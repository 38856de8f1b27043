"""The shipped plugins: kernels run on the CPU and compiled for GPUs, references, declarations."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
import sympy
import torch

import trtdsl.plugins
from tests.plugins.emulation import COMPILER, emulate, outputs_of, types_of
from tests.plugins.shipped import CASES, PluginCase
from tests.test_ir import assert_close
from trtdsl.errors import UnavailableError
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.ir.plugin import Plugin
from trtdsl.plugins.fft import FFT, RFFT
from trtdsl.plugins.running_extreme import RunningExtreme
from trtdsl.types import DType, TensorType, bind

ROWS = [pytest.param(case, id=f"{i}-{case}"[:150]) for i, case in enumerate(CASES)]


def expected_of(case: PluginCase) -> tuple[torch.Tensor, ...]:
    value = case.plugin.evaluate(*case.inputs)
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
@pytest.mark.parametrize("case", ROWS)
def test_the_kernel_computes_what_the_reference_does(case: PluginCase) -> None:
    expected = expected_of(case)
    for actual, wanted in zip(emulate(case.plugin, case.inputs), expected, strict=True):
        assert_close(actual, wanted, case.tolerance)
    narrow = emulate(case.plugin, case.inputs, narrow=True)
    for actual, wanted in zip(narrow, expected, strict=True):
        assert_close(actual.to(wanted.dtype), wanted, case.tolerance)


@pytest.mark.parametrize("case", ROWS)
def test_infer_says_what_the_reference_gives(case: PluginCase) -> None:
    declared = outputs_of(case.plugin, types_of(case.inputs))
    assert declared == types_of(expected_of(case))


VARYING = [row for row, case in zip(ROWS, CASES, strict=True) if case.dynamic]


@pytest.mark.parametrize("case", VARYING)
def test_sizes_of_outputs_follow_from_those_of_inputs(case: PluginCase) -> None:
    """TensorRT names each open size of each input apart, and wants sums, products, quotients."""
    sizes: dict[str, int] = {}
    given = []
    grown = case.grown(3)
    for i, x in enumerate(types_of(case.inputs)):
        shape: list[Any] = list(x.shape)
        for axis in (a for j, a in case.dynamic if j == i):
            shape[axis] = sympy.Symbol(f"s{i}_{axis}", integer=True, positive=True)
            sizes[f"s{i}_{axis}"] = grown[i].shape[axis]
        given.append(x.with_shape(shape))
    expected = expected_of(replace(case, inputs=grown))
    for y, wanted in zip(outputs_of(case.plugin, tuple(given)), expected, strict=True):
        assert tuple(bind(d, sizes) for d in y.shape) == tuple(wanted.shape)
        made = {type(e) for d in y.shape for e in sympy.preorder_traversal(sympy.sympify(d))}
        assert not {e for e in made if issubclass(e, sympy.Function)} - {sympy.floor}


@pytest.mark.parametrize("case", VARYING)
def test_a_symbolic_network_computes_at_other_sizes(case: PluginCase) -> None:
    grown = case.grown(5)
    values = case.network(dynamic=True).evaluate(*grown)
    values = values if isinstance(values, tuple) else (values,)
    for actual, wanted in zip(values, emulate(case.plugin, grown), strict=True):
        assert_close(wanted, actual, case.tolerance)


@pytest.mark.parametrize(
    ("plugin", "shape"),
    [
        (RunningExtreme(axis=0), lambda n: (n, 3)),
        (FFT(), lambda n: (3, n, 2)),
        (RFFT(), lambda n: (3, n)),
    ],
)
def test_the_workspace_of_the_largest_size_serves_smaller_ones(plugin: Plugin, shape: Any) -> None:
    """TensorRT asks once, for the largest sizes."""
    sizes = (*range(1, 70), 255, 256, 257, 288, 289, 290, 1023, 1024, 1090)
    needed = [plugin.workspace(TensorType(DType.FLOAT32, shape(n))) for n in sizes]
    assert needed == sorted(needed)
    assert needed[-1] > 0


@pytest.mark.parametrize("architecture", ["75", "90"])
def test_the_kernels_compile_for_gpus(architecture: str) -> None:
    seen = set()
    for case in CASES:
        types = types_of(case.inputs)
        dtypes = [t.dtype for t in (*types, *outputs_of(case.plugin, types))]
        narrow = [DType.INT32 if d is DType.INT64 else d for d in dtypes]
        for given in (dtypes, narrow):
            defines = case.plugin.defines(*given)
            try:
                machine_code = compile_cuda(case.plugin.kernel, architecture, defines)
            except UnavailableError as error:
                pytest.skip(str(error).splitlines()[0])
            assert machine_code[:4] == b"\x7fELF"
            seen.add((type(case.plugin), defines))
    assert {cls for cls, _ in seen} == shipped()


_FIND = """
from trtdsl.errors import LoadError
from trtdsl.ir.plugin import Plugin
assert not Plugin.classes
print(Plugin.find("SearchSorted", "1", "trtdsl.plugins.search_sorted").kernel[:2])
for module in ("trtdsl.plugins.search_sorted", "trtdsl.plugins.of_a_later_release"):
    try:
        Plugin.find("SearchSorted", "2", module)
    except LoadError as error:
        print("version 2, which is not imported" in str(error))
"""


def test_an_engine_finds_shipped_plugins_without_an_import() -> None:
    command = [sys.executable, "-c", _FIND]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["//", "True", "True"], done.stderr


def shipped() -> set[type[Plugin]]:
    """Every plugin class that trtdsl.plugins defines."""
    modules = [
        importlib.import_module(f"trtdsl.plugins.{m.name}")
        for m in pkgutil.iter_modules(trtdsl.plugins.__path__)
    ]
    return {
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Plugin)
        and not inspect.isabstract(value)
        and value.__module__.startswith("trtdsl.plugins.")
    }
