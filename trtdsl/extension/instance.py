"""``Instance``: a plugin with the types of its tensors; what an engine keeps of it, and runs."""

from __future__ import annotations

import ctypes
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from trtdsl.errors import LoadError
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Planned, compiled, launches_of
from trtdsl.ir.plugin import Plugin
from trtdsl.runtime.driver import call
from trtdsl.types import Dim, DType, TensorType

if TYPE_CHECKING:
    from trtdsl.network import Operation

__all__ = ["Instance", "Run", "Shapes", "in_place"]

Shapes = tuple[tuple[int, ...], ...]
"""The shapes of all inputs and then of all outputs."""
Run: TypeAlias = Callable[[Sequence[int], int], None]
"""Queues the kernels for some shapes: pointers of inputs, outputs and workspace, and a stream."""


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A plugin in an engine, with the engine's dtypes of its inputs and of its outputs.

    ``sizes`` are the network's sizes of the inputs, as text; ``in_place`` are the aliases that
    TensorRT is told of while it builds.
    """

    plugin: Plugin
    inputs: tuple[DType, ...]
    outputs: tuple[DType, ...]
    sizes: tuple[tuple[str, ...], ...] = ()
    in_place: Mapping[int, int] = field(default_factory=dict, compare=False)
    plans: dict[Shapes, Run] = field(default_factory=dict, compare=False, repr=False)
    """Of one execution context: a launch holds its arguments, so no two threads may share it."""

    @property
    def name(self) -> str:
        return type(self.plugin).__name__

    def to_bytes(self) -> bytes:
        """JSON, which the engine keeps."""
        record = {
            "plugin": self.name,
            "version": self.plugin.version,
            "module": type(self.plugin).__module__,
            "attributes": self.plugin.attributes(),
            "inputs": [d.value for d in self.inputs],
            "outputs": [d.value for d in self.outputs],
            "sizes": self.sizes,
        }
        return json.dumps(record).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Instance:
        """Errors: LoadError where the class has not been imported, or has other attributes."""
        record: Mapping[str, Any] = json.loads(data)
        name, version = record["plugin"], record["version"]
        found = Plugin.find(name, version, record["module"])
        try:
            plugin = found.from_attributes(record["attributes"])
        except TypeError as error:
            said = f"plugin {name} has other attributes than the engine's: {error}"
            raise LoadError(said) from error
        return cls(
            plugin=plugin,
            inputs=tuple(map(DType, record["inputs"])),
            outputs=tuple(map(DType, record["outputs"])),
            sizes=tuple(map(tuple, record["sizes"])),
        )

    def infer(self, shapes: Sequence[tuple[Dim, ...]]) -> tuple[TensorType, ...]:
        """The outputs' types for inputs of these shapes, whose sizes may be symbolic."""
        types = (TensorType(d, tuple(s)) for d, s in zip(self.inputs, shapes, strict=True))
        result = self.plugin.infer(*types)
        return result if isinstance(result, tuple) else (result,)

    def workspace(self, shapes: Sequence[tuple[int, ...]]) -> int:
        types = (TensorType(d, tuple(s)) for d, s in zip(self.inputs, shapes, strict=True))
        return self.plugin.workspace(*types)

    def apart(self) -> Instance:
        """The same for another execution context, with plans of its own."""
        return replace(self, plans={})

    def run(self, shapes: Shapes, pointers: Sequence[int], *, workspace: int, stream: int) -> None:
        """Queue the kernel. ``pointers`` are of all inputs, then of all outputs."""
        self.planned(shapes)((*pointers, workspace), stream)

    def planned(self, shapes: Shapes) -> Run:
        """What runs for tensors of these shapes, planned the first time."""
        if shapes not in self.plans:
            if len(self.plans) > 256:  # as many as a model's shapes ever are at once
                self.plans.clear()
            self.plans[shapes] = self._plan(shapes)
        return self.plans[shapes]

    def _plan(self, shapes: Shapes) -> Run:
        steps: list[Run] = [partial(self._run_python, shapes)]
        if not self.plugin.queues_from_python():
            steps = [launch.run for launch in self._launches(shapes)]
        if self.plugin.aliases:
            steps.insert(0, partial(self._fill, shapes))
        if len(steps) == 1:
            return steps[0]

        def run(pointers: Sequence[int], stream: int) -> None:
            for step in steps:
                step(pointers, stream)

        return run

    def _fill(self, shapes: Shapes, pointers: Sequence[int], stream: int) -> None:
        """Copy what outputs begin as, unless TensorRT let them be the input."""
        for output, source in self.plugin.aliases.items():
            target = pointers[len(self.inputs) + output]
            size = math.prod(shapes[source]) * self.inputs[source].itemsize
            if target != pointers[source] and size:
                places = ctypes.c_uint64(target), ctypes.c_uint64(pointers[source])
                rest = ctypes.c_size_t(size), ctypes.c_void_p(stream)
                call("cuMemcpyDtoDAsync_v2", *places, *rest)

    def _run_python(self, shapes: Shapes, pointers: Sequence[int], stream: int) -> None:
        *addresses, workspace = pointers
        *tensors, scratch = self._buffers(shapes, addresses, workspace)
        count = len(self.inputs)
        space = scratch if workspace else None
        self.plugin.run(tensors[:count], tensors[count:], workspace=space, stream=stream)

    def _buffers(
        self, shapes: Shapes, pointers: Sequence[int], workspace: int
    ) -> tuple[Buffer, ...]:
        dtypes = (*self.inputs, *self.outputs)
        tensors = map(Buffer, pointers, shapes, dtypes)
        return (*tensors, Buffer(workspace, (), DType.UINT8))

    def _launches(self, shapes: Shapes) -> tuple[Planned, ...]:
        buffers = self._buffers(shapes, [0] * len(shapes), 0)
        launched = self.plugin.launch(*buffers[:-1], workspace=buffers[-1])
        defines = self.plugin.defines(*self.inputs, *self.outputs)
        cubin = compiled(self.plugin.kernel, defines)
        launches = launches_of(self.plugin, launched)
        return tuple(Planned(launch, cubin, buffers) for launch in launches)


def in_place(plugin: Plugin, operation: Operation) -> dict[int, int]:
    """The aliases whose input nothing but this plugin sees, so that it may be overwritten."""
    network = operation.outputs[0].network
    reads = [x for op in network.operations for x in op.inputs]
    seen = (*reads, *network.outputs, *network.numbers.values())
    return {
        output: source
        for output, source in plugin.aliases.items()
        if (x := operation.inputs[source]).producer and not x.is_constant and seen.count(x) == 1
    }
