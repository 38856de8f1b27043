"""``trtdsl.runtime.device`` against a driver of our own, and ``trtdsl.runtime.logger``."""

# ruff: noqa: N802  the driver's names are the driver's
from __future__ import annotations

import ctypes
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest

from tests import standin
from trtdsl.errors import RunError, UnavailableError
from trtdsl.runtime import device, logger
from trtdsl.runtime import driver as driver_module
from trtdsl.runtime.once import once


@pytest.fixture(autouse=True)
def _no_old_messages() -> Iterator[None]:
    logger.clear()
    yield
    logger.clear()


def no_driver() -> Any:
    raise UnavailableError("no driver")


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_module, "library", no_driver)
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
    monkeypatch.setattr(driver_module, "library", lambda: fake)
    device.primary_handle.cache_clear()
    yield fake
    device.primary_handle.cache_clear()


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
        driver_module.call("cuCtxPopCurrent_v2", ctypes.byref(ctypes.c_void_p()))


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


def test_threads_forget_only_for_themselves() -> None:
    """A run that fails elsewhere refuses no attribute here, and hides no refusal either."""
    logger.record("ERROR", "here")

    def elsewhere() -> list[str]:
        logger.clear()
        logger.record("ERROR", "elsewhere")
        return logger.last_errors()

    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(elsewhere).result(20) == ["elsewhere"]
    assert logger.last_errors() == ["here", "elsewhere"]
    assert logger.last_errors(own=True) == ["here"]
    logger.clear()
    with ThreadPoolExecutor(1) as threads:  # one that has never cleared
        assert threads.submit(logger.last_errors).result(20) == []


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_every_release_takes_our_logger(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = standin.load(version)
    monkeypatch.setattr(logger, "import_tensorrt", lambda: trt)
    log = logger.tensorrt_logger.__wrapped__()
    assert isinstance(log, trt.ILogger)
    for severity in ("VERBOSE", "INFO", "WARNING", "ERROR", "INTERNAL_ERROR"):
        log.log(getattr(trt.ILogger, severity), severity)
    assert logger.last_errors() == ["ERROR", "INTERNAL_ERROR"]


def test_a_constructor_that_makes_nothing_is_refused_with_what_was_logged() -> None:
    class Builder:
        def __init__(self, words: str) -> None:
            raise TypeError(words)

    logger.clear()
    logger.record("ERROR", "no CUDA device")
    with pytest.raises(RunError, match="TensorRT made no Builder: no CUDA device"):
        logger.constructed(RunError, Builder, "pybind11_init: factory function returned nullptr")
    with pytest.raises(TypeError, match="incompatible arguments"):
        logger.constructed(RunError, Builder, "incompatible arguments")


def test_threads_that_ask_together_get_the_same() -> None:
    made: list[object] = []
    ready, gate = threading.Barrier(9), threading.Event()

    @once
    def slow(name: str) -> object:
        made.append(name)
        gate.wait()
        return object()

    found: list[object] = []

    def ask() -> None:
        ready.wait()
        found.append(slow("x"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    ready.wait()
    gate.set()
    for thread in threads:
        thread.join()
    assert made == ["x"]
    assert len(set(map(id, found))) == 1
