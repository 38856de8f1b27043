"""The shipped plugins: kernels run on the CPU and compiled for GPUs, references, declarations."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest
import torch

import trtdsl.plugins
from tests.plugins.emulation import COMPILER, emulate, outputs_of, types_of
from tests.plugins.shipped import CASES, PluginCase
from tests.test_ir import assert_close
from trtdsl.errors import UnavailableError
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.ir.plugin import Plugin
from trtdsl.types import DType

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
