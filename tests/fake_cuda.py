"""A CUDA driver whose device memory is host memory, and whose streams run what they are given."""

# ruff: noqa: N802, N815  the driver's names are the driver's
from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from trtdsl.runtime import cuda, device, driver

__all__ = ["FakeCuda", "install"]


class FakeCuda:
    """``log`` has the calls that order streams; ``alive`` the handles by the function that made."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.alive: dict[int, Any] = {}
        self.captured: list[Callable[[], None]] | None = None
        self.refused = ""
        self._next = 1000

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)
        return lambda *args: 0

    def _make(self, place: Any, value: Any = None, handle: int | None = None) -> int:
        self._next += 1
        handle = self._next if handle is None else handle
        self.alive[handle] = value
        place._obj.value = handle
        return 0

    def _destroy(self, handle: Any) -> int:
        del self.alive[handle.value]
        return 0

    def cuGetErrorString(self, status: int, place: Any) -> int:
        place._obj.value = b"out of memory"
        return 0

    def cuMemAlloc_v2(self, place: Any, size: Any) -> int:
        if self.refused == "cuMemAlloc_v2":
            return 2
        memory = (ctypes.c_ubyte * size.value)()
        return self._make(place, memory, ctypes.addressof(memory))

    def cuMemHostAlloc(self, place: Any, size: Any, _: Any) -> int:
        return self.cuMemAlloc_v2(place, size)

    def cuStreamCreate(self, place: Any, _: Any) -> int:
        return self._make(place, "stream")

    def cuEventCreate(self, place: Any, _: Any) -> int:
        return self._make(place, "event")

    def cuEventRecord(self, event: Any, stream: Any) -> int:
        self.log.append(f"record on {stream.value}")
        return 0

    def cuStreamWaitEvent(self, stream: Any, event: Any, _: Any) -> int:
        self.log.append(f"{stream.value} waits")
        return 0

    def cuMemsetD8Async(self, address: Any, value: Any, size: Any, stream: Any) -> int:
        ctypes.memset(address.value, value.value, size.value)
        return 0

    def cuStreamBeginCapture_v2(self, stream: Any, _: Any) -> int:
        self.captured = []
        return 0

    def cuStreamEndCapture(self, stream: Any, graph: Any) -> int:
        steps, self.captured = self.captured, None
        return self._make(graph, steps)

    def cuGraphInstantiateWithFlags(self, place: Any, graph: Any, _: Any) -> int:
        return self._make(place, list(self.alive[graph.value]))

    def cuGraphLaunch(self, graph: Any, stream: Any) -> int:
        self.log.append(f"launch on {stream.value}")
        for step in self.alive[graph.value]:
            step()
        return 0

    def cuPointerGetAttribute(self, place: Any, attribute: Any, address: Any) -> int:
        held = [v for v in self.alive.values() if isinstance(v, ctypes.Array)]
        inside = any(0 <= address.value - ctypes.addressof(v) < len(v) for v in held)
        place._obj.value = 1
        return 0 if inside else 1

    cuMemFree_v2 = cuMemFreeHost = cuStreamDestroy_v2 = cuEventDestroy_v2 = _destroy
    cuGraphDestroy = cuGraphExecDestroy = _destroy


def install(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Let ``trtdsl.runtime`` talk to such a driver."""
    fake = FakeCuda()

    @contextmanager
    def current(index: int) -> Iterator[None]:
        yield

    monkeypatch.setattr(driver, "library", lambda: fake)
    monkeypatch.setattr(cuda, "library", lambda: fake)
    monkeypatch.setattr(cuda, "primary_context", current)
    monkeypatch.setattr(device, "primary_context", current)
    return fake
