"""Arrays of other libraries, devices by name, and what a fork may not do, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from trtdsl.errors import RunError, UnavailableError
from trtdsl.runtime import device, driver
from trtdsl.runtime.interop import adopt, is_foreign, refuse_foreign
from trtdsl.tree import flatten


class OnCpu:
    """An array that only speaks DLPack."""

    def __init__(self, x: Any) -> None:
        self.x = x

    def __dlpack__(self, **kwargs: Any) -> Any:
        return self.x.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.x.__dlpack_device__()


def test_dlpack_on_the_cpu_becomes_numpy_without_a_copy() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    assert is_foreign(OnCpu(x))
    (found,) = adopt([OnCpu(x)], 0)
    assert isinstance(found, np.ndarray)
    x[0, 0] = 7
    np.testing.assert_array_equal(found, [[7, 1, 2], [3, 4, 5]])
    assert flatten(OnCpu(x))[1].num_leaves == 1


def test_numpy_and_torch_stay_as_they_are() -> None:
    given = [np.zeros(2), torch.zeros(2)]
    found = adopt(given, 0)
    assert all(a is b for a, b in zip(given, found, strict=True))


def test_gpu_arrays_without_torch_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    array = SimpleNamespace(__cuda_array_interface__={"stream": None})
    with pytest.raises(UnavailableError, match=r"torch is missing(.|\n)*pip install torch"):
        adopt([array], 0)


def test_memory_of_another_context_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = SimpleNamespace(is_cuda=True, shape=(2,), data_ptr=lambda: 64)
    for context, refused in ((None, False), (99, False), (5, True)):
        monkeypatch.setattr("trtdsl.runtime.interop.context_of", lambda _, found=context: found)
        if refused:
            with pytest.raises(RunError, match=r"another CUDA context(.|\n)*autoprimaryctx"):
                refuse_foreign([tensor], 99)
        else:
            refuse_foreign([tensor], 99)


@pytest.mark.parametrize(
    ("given", "index"), [(0, 0), (3, 3), ("cuda", 0), ("cuda:2", 2), (torch.device("cuda", 1), 1)]
)
def test_devices_by_name(given: Any, index: int) -> None:
    assert device.index_of(given) == index


@pytest.mark.parametrize("given", [-1, "cpu", "cuda:", "cuda:x", True, None, torch.device("cpu")])
def test_what_is_no_gpu(given: Any) -> None:
    with pytest.raises(RunError, match=r"is no GPU\n  fix: give 0"):
        device.index_of(given)


def test_a_fork_after_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_started_in", os.getpid())
    driver.refuse_after_fork()
    monkeypatch.setattr(driver, "_started_in", os.getpid() + 1)
    with pytest.raises(RunError, match=r"forked from one that had started CUDA(.|\n)*spawn"):
        driver.refuse_after_fork()


def test_cuda_started_by_somebody_else_before_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    def words(status: int, place: Any) -> int:
        place._obj.value = b"initialization error"
        return 0

    library: Any = SimpleNamespace(cuGetErrorString=words)
    with pytest.raises(RunError, match=r"error 3\)\n  fix: if this is a forked process: .*spawn"):
        driver.check(library, "cuInit", 3)


def test_the_runtime_needs_neither_torch_nor_onnx() -> None:
    code = (
        "import pkgutil, sys, importlib\n"
        "for name in ('torch', 'onnx', 'tensorrt', 'pycuda', 'sympy'): sys.modules[name] = None\n"
        "import trtdsl, trtdsl.runtime, trtdsl.engine, trtdsl.replicas, trtdsl.layer_times\n"
        "names = [m.name for m in pkgutil.iter_modules(trtdsl.runtime.__path__)]\n"
        "for name in names:\n"
        "    if name != 'torch_side': importlib.import_module(f'trtdsl.runtime.{name}')\n"
        "print(len(names), trtdsl.load.__module__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    count, module = done.stdout.split()
    assert int(count) > 15
    assert module == "trtdsl.engine"


def test_outputs_that_are_memory_of_inputs_are_told() -> None:
    from trtdsl.runtime.torch_side import overlap

    block, other = torch.zeros(64), torch.zeros(8)
    x, behind = block[:32], block[32:]
    assert overlap([other, x], [block[31:40]])
    assert overlap([x], [behind, x])
    assert not overlap([x, other], [behind])
    assert not overlap([], [x])
    assert not overlap([x[:0]], [x[:0]])
