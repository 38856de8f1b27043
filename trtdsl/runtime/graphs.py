"""Runs of a stream captured as CUDA graphs, one for each combination of input shapes.

TensorRT wants a context of its own for each graph, whose state no later run changes, and a run
before the capture, in which it does what no graph can hold. The contexts of a stream's graphs share
a workspace. Source: https://docs.nvidia.com/deeplearning/tensorrt/, "CUDA Graphs".
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from trtdsl.errors import RunError
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.cuda import DeviceMemory, Graph, synchronize
from trtdsl.runtime.workspace import Workspace

__all__ = ["Captured", "Graphs"]

MAX_GRAPHS = 32
"""Of a stream; the one that was not used for the longest time goes first."""

Shape = tuple[int, ...]


class Captured:
    """A run for one combination of shapes, from and to buffers of its own; no output is open.

    ``inputs`` and ``outputs`` are these buffers, ``output_shapes`` what the run gives, and
    ``views`` what somebody who lends the outputs has made of their memory.
    """

    def __init__(
        self, contexts: Contexts, stream: int, shapes: Sequence[Shape], workspace: Workspace
    ) -> None:
        """Run once, on what the buffers happen to hold, and capture a second run.

        Errors: RunError when TensorRT or the driver refuses.
        """
        manifest, device = contexts.manifest, contexts.device
        self._stream = stream
        self._context = contexts.make(contexts.profile_of(shapes), stream, _none, workspace)
        self._context.set_shapes(list(shapes))
        self.output_shapes = [shape for shape in self._context.output_shapes if shape is not None]
        self.inputs = [
            DeviceMemory(device, spec.engine_dtype.itemsize * math.prod(shape))
            for spec, shape in zip(manifest.inputs, shapes, strict=True)
        ]
        self.outputs = [
            DeviceMemory(device, spec.engine_dtype.itemsize * math.prod(shape))
            for spec, shape in zip(manifest.outputs, self.output_shapes, strict=True)
        ]
        for memory in self.inputs:
            memory.clear(stream)  # indices that are no numbers of anything could lead anywhere
        self._context.run(stream, _addresses(self.inputs), _addresses(self.outputs))
        synchronize(device, stream)
        self._graph = Graph(device, self._context.execute)
        self.views: list[Any] = []

    def launch(self) -> None:
        """Queue the run on the stream. Errors: RunError from the driver."""
        self._context.queue(self._stream, self._graph.launch)


class Graphs:
    """The captured runs of one stream, by the shapes of their inputs."""

    def __init__(self, contexts: Contexts, stream: int) -> None:
        self._contexts = contexts
        self._stream = stream
        self._captured: OrderedDict[tuple[Shape, ...], Captured] = OrderedDict()
        self._workspace: Workspace | None = None

    def of(self, shapes: Sequence[Shape]) -> Captured:
        """The run for inputs of these shapes, captured now if it was not yet. Errors: RunError."""
        key = tuple(shapes)
        found = self._captured.get(key)
        if found is None:
            while len(self._captured) >= MAX_GRAPHS:
                synchronize(self._contexts.device, self._stream)
                self._captured.popitem(last=False)
            self._workspace = self._workspace or self._contexts.workspace()
            found = Captured(self._contexts, self._stream, key, self._workspace)
            self._captured[key] = found
        self._captured.move_to_end(key)
        return found


def _none(index: int, size: int) -> tuple[int, None]:
    raise RunError(f"the size of output {index} is not known before a run: no graph can hold it")


def _addresses(memories: Sequence[DeviceMemory]) -> list[int]:
    return [memory.address for memory in memories]
