"""Outputs whose sizes values decide, through page-locked buffers and a stand-in's allocator."""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np
import pytest

from tests import standin
from tests.engine_parts import F32, Context, HostMover, Trt, host_runner, manifest, spec
from trtdsl.errors import RunError
from trtdsl.runtime.open_outputs import open_outputs
from trtdsl.types import DType

PICKS = manifest(
    (spec("x", DType.FLOAT32, "n"),),
    (spec("picked", DType.FLOAT32, "u0"), spec("same", DType.FLOAT32, "n")),
)


class PickingContext(Context):
    """Gives the positive elements of x as ``picked``, and x as ``same``."""

    silent = False

    def set_output_allocator(self, name: str, allocator: Any) -> bool:
        assert name == "picked"
        self.allocator = allocator
        return self.owner.accept != "set_output_allocator"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (-1,) if name == "picked" else self.shapes["x"]

    def execute_async_v3(self, stream: int) -> bool:
        (n,) = self.shapes["x"]
        x = np.frombuffer((ctypes.c_float * n).from_address(self.addresses["x"]), np.float32)
        picked = np.ascontiguousarray(x[x > 0])
        if self.owner.accept != "silent":
            # TensorRT asks for as much as there may be, and never for nothing.
            address = self.allocator.reallocate_output("picked", 0, max(x.nbytes, 1), 256)
            ctypes.memmove(address, picked.ctypes.data, picked.nbytes)
            self.allocator.notify_shape("picked", picked.shape)
        ctypes.memmove(self.addresses["same"], x.ctypes.data, x.nbytes)
        return True


class PickingTrt(Trt):
    def create_execution_context(self) -> Context:
        return PickingContext(self)


@pytest.fixture(autouse=True, params=["8.6.1", "11.4.0.106"])
def _tensorrt(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", standin.load(request.param))


def test_a_size_that_no_input_tells_makes_an_output_open() -> None:
    assert open_outputs(PICKS) == [0]
    assert open_outputs(F32) == []


def test_numpy_outputs_have_the_sizes_that_were_found() -> None:
    mover = HostMover()
    run = host_runner(PickingTrt(), PICKS, mover)
    for data in ([1, -1, 2, 3], [-1, -2], [], [4, 5, 6, 7, 8]):
        x = np.array(data, np.float32)
        picked, same = run([x])
        np.testing.assert_array_equal(picked, x[x > 0])
        np.testing.assert_array_equal(same, x)
        assert picked.base is None
    assert mover.allocated == [16, 16, 16, 20, 20, 20]  # reused while large enough


def test_an_output_that_never_came_is_an_error() -> None:
    run = host_runner(PickingTrt("silent"), PICKS, HostMover())
    with pytest.raises(RunError, match="TensorRT gave no output picked"):
        run([np.ones(2, np.float32)])


def test_a_refused_allocator_is_an_error() -> None:
    with pytest.raises(RunError, match="refused an allocator for output picked"):
        host_runner(PickingTrt("set_output_allocator"), PICKS, HostMover())(
            [np.ones(2, np.float32)]
        )
