"""Everything around an engine that needs no GPU: files, checks on load, buffers, messages.

TensorRT's objects are stood in for where only their answers matter; nothing here computes.
"""

from __future__ import annotations

import ctypes
import dataclasses
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import trtdsl.engine
from trtdsl.engine import Engine, load
from trtdsl.errors import LoadError, RunError, UnavailableError
from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.runtime import device, files, logger, plan, staging
from trtdsl.runtime.lane import Lane
from trtdsl.runtime.staging import Buffer, HostRunner
from trtdsl.tree import flatten
from trtdsl.types import DimRange, DType

X = np.zeros(1, np.float32)
PLAN = bytes(range(256)) * 5
GPU = device.Gpu(index=0, name="GPU", compute_capability="9.0", cuda="12.4", memory=1 << 30)


def spec(name: str, dtype: DType, *shape: int | str, engine: DType | None = None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, engine_dtype=engine or dtype, shape=shape)


def manifest(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Manifest:
    return Manifest(
        inputs=inputs,
        outputs=outputs,
        input_tree=flatten(((X,) * len(inputs), {}))[1],
        output_tree=flatten(X if len(outputs) == 1 else (X,) * len(outputs))[1],
        parameters=tuple(each.name for each in inputs),
        symbols={"n": DimRange(min=0, opt=2, max=100)},
        precision="fp32",
        tensorrt="10.13.3.9",
        compute_capability="9.0",
        device="NVIDIA H200",
        sha256=files.digest(PLAN),
        trtdsl="0.1.0",
        size=len(PLAN),
    )


F32 = manifest((spec("x", DType.FLOAT32, "n"),), (spec("y", DType.FLOAT32, "n"),))


class Context:
    """An execution context that only moves bytes: each input's go to the output beside it."""

    def __init__(self, owner: Trt) -> None:
        self.owner = owner
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.owner.calls.append(f"set_input_shape {name} {shape}")
        self.shapes[name] = shape
        return self.owner.accept != "set_input_shape"

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.owner.output_shape or self.shapes[self.owner.pairs[name]]

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return self.owner.accept != "set_tensor_address"

    def execute_async_v3(self, stream: int) -> bool:
        for output, source in self.owner.pairs.items():
            size = int(np.prod(self.shapes[source])) * self.owner.itemsize
            ctypes.memmove(self.addresses[output], self.addresses[source], size)
        return self.owner.accept != "execute_async_v3"


class Trt:
    """An engine that makes such contexts; ``accept`` names the one call that it refuses."""

    def __init__(self, accept: str = "", **pairs: str) -> None:
        self.pairs = pairs or {"y": "x"}
        self.accept = accept
        self.itemsize = 4
        self.calls: list[str] = []
        self.output_shape: tuple[int, ...] = ()
        self.num_layers = 3
        self.device_memory_size = 1024
        self.text = ""

    def create_execution_context(self) -> Context | None:
        return None if self.accept == "create_execution_context" else Context(self)

    def create_engine_inspector(self) -> Any:
        return SimpleNamespace(get_engine_information=lambda _: self.text)


class HostMover:
    """Device memory that is host memory, filled with a pattern that no answer may show."""

    stream = 7

    def __init__(self) -> None:
        self.allocated: list[int] = []
        self.waits = 0

    def current(self) -> AbstractContextManager[None]:
        return nullcontext()

    def keep(self, buffers: list[Buffer | None]) -> None:
        pass

    def allocate(self, size: int) -> Buffer:
        self.allocated.append(size)
        host, far = np.full(size, 0xAA, np.uint8), np.full(size, 0x55, np.uint8)
        return Buffer(host=host, address=far.ctypes.data, owners=(far,))

    def upload(self, buffer: Buffer, size: int) -> None:
        buffer.owners[0][:size] = buffer.host[:size]

    def download(self, buffer: Buffer, size: int) -> None:
        buffer.host[:size] = buffer.owners[0][:size]

    def synchronize(self) -> None:
        self.waits += 1


@pytest.fixture(autouse=True)
def _no_old_messages() -> Iterator[None]:
    logger.clear()
    yield
    logger.clear()


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Engine:
    monkeypatch.setattr(trtdsl.engine, "deserialize", lambda *_: Trt())
    monkeypatch.setattr(trtdsl.engine, "primary_context", lambda _: nullcontext())
    trt = SimpleNamespace(LayerInformationFormat=SimpleNamespace(JSON=1))
    monkeypatch.setattr(trtdsl.engine, "import_tensorrt", lambda: trt)
    return Engine(PLAN, F32)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "m.engine"
    files.write(path, PLAN, F32)
    return path


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the TensorRT and the GPU of ``F32``."""
    trt = SimpleNamespace(__version__=F32.tensorrt)
    monkeypatch.setattr(files, "import_tensorrt", lambda: trt)
    monkeypatch.setattr(files, "require_gpu", lambda _: GPU)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def test_engines_modules_need_no_torch() -> None:
    code = (
        "import sys; import trtdsl.engine, trtdsl.runtime.pycuda_side, trtdsl.runtime.pinned;"
        "print([m for m in ('torch', 'tensorrt', 'pycuda', 'sympy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_save_writes_the_plan_exactly_and_reads_back(saved: Path) -> None:
    assert saved.read_bytes() == PLAN
    assert files.read(saved) == (PLAN, F32)
    assert names(saved.parent) == ["m.engine", "m.engine.json"]


@pytest.mark.parametrize("failing", [1, 2])
def test_a_failed_save_leaves_no_part(
    saved: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    replace, calls = os.replace, []

    def broken(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == failing:
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(os, "replace", broken)
    other = PLAN[::-1]
    changed = dataclasses.replace(F32, sha256=files.digest(other))
    with pytest.raises(OSError, match="disk full"):
        files.write(saved, other, changed)
    assert [call.name for call in calls] == ["m.engine", "m.engine.json"][:failing]
    assert names(saved.parent) == ["m.engine", "m.engine.json"]
    if failing == 1:
        assert files.read(saved) == (PLAN, F32)
    else:
        with pytest.raises(LoadError, match="damaged or another engine's"):
            files.read(saved)


def test_a_failed_write_leaves_the_old_files(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(OSError, match="disk full"):
        files.write(saved, PLAN[::-1], F32)
    assert files.read(saved) == (PLAN, F32)
    assert names(saved.parent) == ["m.engine", "m.engine.json"]


def edit(saved: Path, **changes: Any) -> None:
    place = files.manifest_path(saved)
    place.write_text(json.dumps({**json.loads(place.read_text()), **changes}))


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no plan": (Path.unlink, r"there is no engine file .*m\.engine\n  fix:"),
    "no manifest": (lambda p: files.manifest_path(p).unlink(), r"no manifest .*m\.engine\.json"),
    "garbled": (lambda p: files.manifest_path(p).write_bytes(b'{"format": '), "is not JSON"),
    "binary": (lambda p: files.manifest_path(p).write_bytes(PLAN), "is not JSON"),
    "not ours": (lambda p: files.manifest_path(p).write_text("[]"), "format is None"),
    "format": (lambda p: edit(p, format="trtdsl-engine/9"), "'trtdsl-engine/9'"),
    "field": (lambda p: edit(p, inputs=7), r"m\.engine\.json: the manifest is damaged"),
    "truncated": (
        lambda p: p.write_bytes(PLAN[:700]),
        "has 700 bytes, and its manifest says 1280: it is truncated",
    ),
    "longer": (lambda p: p.write_bytes(PLAN + b"x"), "1281 bytes, .* 1280: it is another"),
    "flipped": (lambda p: p.write_bytes(b"\xff" + PLAN[1:]), "has the sha256 .* damaged"),
    "foreign": (lambda p: edit(p, sha256="ab" * 32), "manifest says abababababababab"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_files(saved: Path, here: None, name: str) -> None:
    damage, words = DAMAGE[name]
    damage(saved)
    with pytest.raises(LoadError, match=words):
        load(saved)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"tensorrt": "8.6.1"},
            r"built by TensorRT 8\.6\.1 and this is TensorRT 10\.13\.3\.9, another major version",
        ),
        ({"tensorrt": "10.3.0"}, r"TensorRT 10\.3\.0 and .* 10\.13\.3\.9, another version"),
        (
            {"compute_capability": "8.6", "device": "NVIDIA A10"},
            r"capability 8\.6 \(NVIDIA A10\), and GPU 0 here is GPU \(compute capability 9\.0\)",
        ),
    ],
)
def test_made_for_another_machine(
    saved: Path, here: None, change: dict[str, Any], words: str
) -> None:
    edit(saved, **change)
    with pytest.raises(LoadError, match=words) as error:
        load(saved)
    assert "fix: build the engine again here" in str(error.value)


def test_load_reaches_tensorrt_when_all_fits(
    saved: Path, here: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = []
    monkeypatch.setattr(trtdsl.engine, "deserialize", lambda *args: given.append(args) or Trt())
    assert load(str(saved), device=0).plan == PLAN
    assert given == [(PLAN, F32, 0)]


def test_load_without_tensorrt(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UnavailableError, match=r"TensorRT(.|\n)*fix: pip install"):
        load(saved)


def test_load_without_a_gpu(saved: Path, here: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(files, "import_tensorrt", lambda: SimpleNamespace(__version__=F32.tensorrt))
    monkeypatch.setattr(device, "_driver", no_driver)
    with pytest.raises(UnavailableError, match="no NVIDIA GPU 0 here: no driver") as error:
        load(saved)
    assert 'backend="reference"' in str(error.value)


def no_driver() -> Any:
    raise UnavailableError("no driver")


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_driver", no_driver)
    assert device.find_gpu() is None
    assert device.why_no_gpu() == "no driver"


class Driver:
    """The driver's stack of contexts in one thread, with one device."""

    def __init__(self, *stack: int) -> None:
        self.stack = list(stack)

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, place: Any, index: ctypes.c_int) -> int:
        place._obj.value = index.value
        return 0

    def cuDeviceGetName(self, name: Any, size: ctypes.c_int, _: Any) -> int:
        name.value = b"NVIDIA H200"
        return 0

    def cuDeviceGetAttribute(self, place: Any, attribute: ctypes.c_int, _: Any) -> int:
        place._obj.value = {75: 9, 76: 0}[attribute.value]
        return 0

    def cuDeviceTotalMem_v2(self, place: Any, _: Any) -> int:
        place._obj.value = 150 << 30
        return 0

    def cuDriverGetVersion(self, place: Any) -> int:
        place._obj.value = 12040
        return 0

    def cuGetErrorString(self, status: int, place: Any) -> int:
        place._obj.value = b"no such thing"
        return 0

    def cuDevicePrimaryCtxRetain(self, place: Any, _: Any) -> int:
        place._obj.value = 99
        return 0

    def cuCtxGetCurrent(self, place: Any) -> int:
        place._obj.value = self.stack[-1] if self.stack else None
        return 0

    def cuCtxSetCurrent(self, context: ctypes.c_void_p) -> int:
        del self.stack[-1:]
        if context.value:
            self.stack.append(context.value)
        return 0

    def cuCtxPushCurrent_v2(self, context: ctypes.c_void_p) -> int:
        assert context.value is not None
        self.stack.append(context.value)
        return 0

    def cuCtxPopCurrent_v2(self, place: Any) -> int:
        if not self.stack:
            return 201
        place._obj.value = self.stack.pop()
        return 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    fake = Driver()
    monkeypatch.setattr(device, "_driver", lambda: fake)
    device._primary.cache_clear()
    yield fake
    device._primary.cache_clear()


def test_the_gpu_is_described(driver: Driver) -> None:
    gpu = device.find_gpu()
    assert gpu == device.Gpu(
        index=0, name="NVIDIA H200", compute_capability="9.0", cuda="12.4", memory=150 << 30
    )
    assert device.why_no_gpu(0) is None
    assert device.why_no_gpu(1) == "the driver shows 1 device"
    assert device.find_gpu(-1) is None


@pytest.mark.parametrize("stack", [[], [5], [5, 6]])
@pytest.mark.parametrize("inner", ["nothing", "replaced", "error"])
def test_the_callers_context_is_current_again(driver: Driver, stack: list[int], inner: str) -> None:
    driver.stack = list(stack)
    with pytest.raises(KeyError) if inner == "error" else nullcontext(), device.primary_context(0):
        assert driver.stack == [*stack, 99]
        if inner == "replaced":  # what torch does
            driver.stack[-1] = 42
        if inner == "error":
            raise KeyError
    assert driver.stack == stack


def test_a_stack_that_pycuda_emptied_is_put_back(driver: Driver) -> None:
    driver.stack = [5]
    with device.restoring_context():
        driver.stack[-1] = 8
    assert driver.stack == [5]


def test_the_drivers_refusal_is_told(driver: Driver) -> None:
    with pytest.raises(RunError, match=r"refused cuCtxPopCurrent_v2: no such thing \(error 201\)"):
        device._call("cuCtxPopCurrent_v2", driver, ctypes.byref(ctypes.c_void_p()))  # type: ignore[arg-type]


def test_messages_are_kept_and_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "trtdsl.tensorrt"):
        for severity, text in (("ERROR", "a"), ("WARNING", "b"), ("INTERNAL_ERROR", "c")):
            logger.record(severity, text)
        logger.record("ERROR", "a")
    assert logger.last_errors() == ["a", "c"]
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("ERROR", "a"),
        ("WARNING", "b"),
        ("CRITICAL", "c"),
        ("ERROR", "a"),
    ]
    for number in range(200):
        logger.record("ERROR", str(number))
    assert logger.last_errors() == [str(number) for number in range(136, 200)]
    logger.clear()
    assert logger.last_errors() == []


def test_lane_sets_shapes_once() -> None:
    trt = Trt()
    lane = Lane(trt, F32, 0)
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
        HostRunner(Trt(refused), F32, mover)([np.ones(1, np.float32)])
    assert mover.waits == (refused in ("set_tensor_address", "execute_async_v3"))


def test_a_refused_shape_is_not_taken_for_set() -> None:
    trt = Trt("set_input_shape")
    lane = Lane(trt, F32, 0)
    for _ in range(2):
        with pytest.raises(RunError, match="it gave no reason"):
            lane.set_shapes([(2,)])
    assert len(trt.calls) == 2


def test_data_dependent_output_is_refused() -> None:
    trt = Trt()
    trt.output_shape = (-1, 4)
    with pytest.raises(RunError, match=r"the size of output y, \(-1, 4\), depends on the inputs'"):
        Lane(trt, F32, 0).set_shapes([(2,)])


def test_numpy_outputs_are_the_callers_own() -> None:
    mover = HostMover()
    run = HostRunner(Trt(), F32, mover)
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
    run = HostRunner(Trt(y="ids"), narrow, HostMover())
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
        staging.numpy_dtype(DType.BFLOAT16, "y")


def test_pycuda_asked_for_and_missing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    asking = Engine(PLAN, F32, host_copies="pycuda")
    with pytest.raises(UnavailableError, match=r"pycuda, which cannot be imported(.|\n)*'auto'"):
        asking(np.zeros(2, np.float32))


def test_wrong_calls_are_refused_before_anything_runs(engine: Engine) -> None:
    for args, words in (
        ((torch.zeros(2),), r"input x is on cpu, and this runs on cuda:0\n  fix: x\.cuda\(\)"),
        ((torch.zeros(2, dtype=torch.float64),), "x is float64, and the engine takes float32"),
        ((np.zeros(101, np.float32),), r"n in 0\.\.100"),
        ((), "takes 1 argument"),
        ((None,), "x was a tensor at conversion, and now is None"),
    ):
        with pytest.raises(RunError, match=words):
            engine(*args)


def test_inspect_reads_both_forms(engine: Engine) -> None:
    trt = engine._trt_engine
    trt.text = '{"Layers": ["conv", "relu"], "Bindings": ["x"]}'
    assert engine.inspect() == [{"Name": "conv"}, {"Name": "relu"}]
    trt.text = '{"Layers": [{"Name": "conv", "Outputs": []}]}'
    assert engine.inspect() == [{"Name": "conv", "Outputs": []}]
    trt.text = "no engine information"
    with pytest.raises(RunError, match="no engine information"):
        engine.inspect()


def test_engine_tells_about_itself(engine: Engine, tmp_path: Path) -> None:
    assert repr(engine) == "Engine(x: f32[n] -> y: f32[n])"
    assert (engine.num_layers, engine.device_memory) == (3, 1024)
    engine._trt_engine.device_memory_size_v2 = 2048
    assert engine.device_memory == 2048
    engine.save(tmp_path / "e.engine")
    assert files.read(tmp_path / "e.engine") == (PLAN, engine.manifest)


def test_a_new_engine_gets_its_digest(engine: Engine) -> None:
    blank = dataclasses.replace(F32, sha256="", size=0)
    assert Engine(PLAN, blank).manifest == F32


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
    facts = {"names": ["x", "y"], "modes": {"x": "input", "y": "output"}, "dtype": DType.FLOAT32}
    facts |= {"shape": (-1,), "location": "device"} | change
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
