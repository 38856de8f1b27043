"""A manifest, and TensorRT objects that move bytes and compute nothing, for tests without a GPU."""

from __future__ import annotations

import ctypes
from contextlib import AbstractContextManager, nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np

from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.runtime import files
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.host_side import HostRunner
from trtdsl.runtime.page_locked import Bytes
from trtdsl.runtime.staging import Buffer
from trtdsl.tree import flatten
from trtdsl.types import DimRange, DType

__all__ = ["F32", "PLAN", "Context", "HostMover", "Trt", "host_runner", "manifest", "spec"]

N = DimRange(min=0, opt=2, max=100)
X = np.zeros(1, np.float32)
PLAN = bytes(range(256)) * 5


def spec(name: str, dtype: DType, *shape: int | str, engine: DType | None = None) -> TensorSpec:
    return TensorSpec(name=name, dtype=dtype, engine_dtype=engine or dtype, shape=shape)


def manifest(inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...]) -> Manifest:
    return Manifest(
        inputs=inputs,
        outputs=outputs,
        input_tree=flatten(((X,) * len(inputs), {}))[1],
        output_tree=flatten(X if len(outputs) == 1 else (X,) * len(outputs))[1],
        parameters=tuple(each.name for each in inputs),
        symbols={"n": N},
        profiles=({"n": N},),
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


def host_runner(engine: Trt, described: Manifest, mover: HostMover) -> HostRunner:
    """A runner over one mover, so for one call at a time."""
    return HostRunner(Contexts(engine, described, 0), lambda: mover)


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

    def upload(self, address: int, host: Bytes) -> None:
        ctypes.memmove(address, host.ctypes.data, host.size)

    def download(self, host: Bytes, address: int) -> None:
        ctypes.memmove(host.ctypes.data, address, host.size)

    def synchronize(self) -> None:
        self.waits += 1
