"""Lanes, staging buffers, and plan against manifest, without a GPU."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.engine_parts import F32, HostMover, Trt, host_runner, manifest, spec
from trtdsl.errors import LoadError, RunError
from trtdsl.runtime import logger, numbers, plan
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.lane import Lane
from trtdsl.types import DType


@pytest.fixture(autouse=True)
def _no_old_messages() -> Iterator[None]:
    logger.clear()
    yield
    logger.clear()


def test_lane_sets_shapes_once() -> None:
    trt = Trt()
    lane = Lane(Contexts(trt, F32, 0), 0, nowhere)
    for shape in ((2,), (2,), (3,), (2,)):
        lane.set_shapes([shape])
        assert lane.output_shapes == [shape]
    assert trt.calls == [f"set_input_shape x ({n},)" for n in (2, 3, 2)]


@pytest.mark.parametrize(
    ("refused", "words"),
    [
        ("create_execution_context", "TensorRT refused an execution context: out of memory"),
        ("set_input_shape", r"refused the shape \(1,\) of input x: out of memory"),
        ("set_tensor_address", "refused the address 0x[0-9a-f]+ of input x: out of memory"),
        ("execute_async_v3", r"refused the run for inputs of shapes \[\(1,\)\]: out of memory"),
    ],
)
def test_tensorrts_refusals(refused: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "clear", lambda: None)
    logger.record("ERROR", "out of memory")
    mover = HostMover()
    with pytest.raises(RunError, match=words):
        host_runner(Trt(refused), F32, mover)([np.ones(1, np.float32)])
    assert mover.waits == (refused in ("set_tensor_address", "execute_async_v3"))


def test_a_refused_shape_is_not_taken_for_set() -> None:
    trt = Trt("set_input_shape")
    lane = Lane(Contexts(trt, F32, 0), 0, nowhere)
    for _ in range(2):
        with pytest.raises(RunError, match="it gave no reason"):
            lane.set_shapes([(2,)])
    assert len(trt.calls) == 2


def test_data_dependent_output_is_refused() -> None:
    trt = Trt()
    trt.output_shape = (-1, 4)
    with pytest.raises(RunError, match=r"the size of output y, \(-1, 4\), depends on the inputs'"):
        Lane(Contexts(trt, F32, 0), 0, nowhere).set_shapes([(2,)])


def test_numpy_outputs_are_the_callers_own() -> None:
    mover = HostMover()
    run = host_runner(Trt(), F32, mover)
    data = [np.arange(n, dtype=np.float32) + n for n in (4, 2, 0, 4, 9)]
    answers = [run([x])[0] for x in data]
    for x, y in zip(data, answers, strict=True):
        np.testing.assert_array_equal(x, y)
        assert y.dtype == np.float32
        assert y.base is None
    assert mover.allocated == [16, 16, 36, 36]  # reused while large enough
    assert mover.waits == len(data)


def test_int64_goes_as_int32_and_comes_back() -> None:
    narrow = manifest(
        (spec("ids", DType.INT64, "n", engine=DType.INT32),),
        (spec("y", DType.INT64, "n", engine=DType.INT32),),
    )
    run = host_runner(Trt(y="ids"), narrow, HostMover())
    ids = np.array([-(2**31), 0, 2**31 - 1], np.int64)
    (y,) = run([ids])
    assert y.dtype == np.int64
    np.testing.assert_array_equal(y, ids)
    for bad in (2**31, -(2**31) - 1):
        with pytest.raises(RunError, match=f"ids holds values from .*{bad}(.|\n)*TensorRT 10"):
            run([np.array([0, bad], np.int64)])


def test_bfloat16_in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    with pytest.raises(RunError, match=r"y is bfloat16(.|\n)*pip install ml_dtypes"):
        numbers.numpy_dtype(DType.BFLOAT16, "y")


def nowhere(index: int, size: int) -> tuple[int, object]:
    raise AssertionError(f"output {index} wants {size} bytes")


class Mode:
    INPUT, OUTPUT = "input", "output"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"names": ["x", "z"]}, r"plan has the tensors \['x', 'z'\], .* \['x', 'y'\]"),
        ({"modes": {"x": "output", "y": "input"}}, "x goes the other way"),
        ({"dtype": DType.FLOAT16}, "x is float16 in the plan, and the manifest says float32"),
        ({"shape": (2, 2)}, r"x has the shape \(2, 2\) in the plan"),
        ({"location": "host"}, "x must lie in host memory"),
    ],
)
def test_plan_and_manifest_must_agree(
    change: dict[str, Any], words: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts: dict[str, Any] = {
        "names": ["x", "y"],
        "modes": {"x": "input", "y": "output"},
        "dtype": DType.FLOAT32,
        "shape": (-1,),
        "location": "device",
        **change,
    }
    found = SimpleNamespace(
        num_io_tensors=2,
        get_tensor_name=facts["names"].__getitem__,
        get_tensor_mode=lambda name: facts["modes"][name],
        get_tensor_dtype=lambda _: facts["dtype"],
        get_tensor_shape=lambda _: facts["shape"],
        get_tensor_location=lambda _: facts["location"],
    )
    monkeypatch.setattr(plan, "dtype_of", lambda dtype: dtype)
    trt = SimpleNamespace(TensorIOMode=Mode, TensorLocation=SimpleNamespace(DEVICE="device"))
    with pytest.raises(LoadError, match=words) if words else nullcontext():
        plan._check_tensors(trt, found, F32)


def test_an_engine_that_tensorrt_does_not_serialize_is_an_error_with_its_reason() -> None:
    assert plan.serialized(SimpleNamespace(serialize=lambda: memoryview(b"plan"))) == b"plan"

    def refuse() -> None:
        logger.record("ERROR", "out of memory")

    with pytest.raises(RunError, match="TensorRT did not serialize the engine: out of memory"):
        plan.serialized(SimpleNamespace(serialize=refuse))
