"""Runs of a stream captured as CUDA graphs, one for each combination of input shapes.

TensorRT wants a context of its own for each graph, whose state no later run changes, and a run
before the capture, in which it does what no graph can hold. The contexts of a stream's graphs share
a workspace. Source: https://docs.nvidia.com/deeplearning/tensorrt/, "CUDA Graphs".
"""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from trtdsl.errors import RunError
from trtdsl.manifest import TensorSpec
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.cuda import DeviceMemory, Graph, is_idle, synchronize
from trtdsl.runtime.workspace import Workspace

__all__ = ["ALIGNMENT", "Captured", "Graphs"]

ALIGNMENT = 256
"""Bytes: https://docs.nvidia.com/deeplearning/tensorrt/, setTensorAddress."""

MAX_GRAPHS = 32
"""Of a stream; the one that was not used for the longest time goes first."""
MAX_PLACES = 8
"""Of a combination of shapes: places of callers' tensors that have a graph of their own."""
_OFTEN = 64
"""After so many calls, places are worth the graph of others."""
_NEVER = -(1 << 60)

Shape = tuple[int, ...]


class _Recorded:
    """A run on fixed addresses, as a graph with a context of its own."""

    def __init__(
        self,
        contexts: Contexts,
        stream: int,
        shapes: Sequence[Shape],
        workspace: Workspace,
        places: Callable[[list[Shape]], tuple[Sequence[int], Sequence[int]]],
    ) -> None:
        """Run once, and capture a second run. ``places`` gives addresses for the outputs' shapes.

        Errors: RunError when TensorRT or the driver refuses.
        """
        self._stream = stream
        self._context = contexts.make(contexts.profile_of(shapes), stream, _none, workspace)
        self._context.set_shapes(list(shapes))
        inputs, outputs = places([s for s in self._context.output_shapes if s is not None])
        self._context.run(stream, inputs, outputs)
        synchronize(contexts.device, stream)
        self._graph = Graph(contexts.device, self._context.execute)
        self.launch = self._launcher()
        """Queues the run on the stream. Errors: RunError from the driver."""

    def _launcher(self) -> Callable[[], None]:
        if self._context.takes_turns:
            return partial(self._context.queue, self._stream, self._graph.launch)
        return self._graph.launcher(self._stream)


class Captured:
    """A run for one combination of shapes, from and to buffers of its own; no output is open.

    ``inputs`` and ``outputs`` are these buffers, ``output_shapes`` what the run gives, and
    ``views`` what somebody who lends the outputs has made of their memory. Callers' tensors tend to
    lie where those of earlier calls lay: such places get graphs of their own, which copy nothing.
    """

    def __init__(
        self, contexts: Contexts, stream: int, shapes: Sequence[Shape], workspace: Workspace
    ) -> None:
        """Run once, on zeros, and capture a second run.

        Errors: RunError when TensorRT or the driver refuses.
        """
        self._record = partial(_Recorded, contexts, stream, shapes, workspace)
        self._stream = stream
        self._shapes = list(shapes)
        self._manifest, self._device = contexts.manifest, contexts.device
        self.output_shapes: list[Shape] = []
        self.inputs: list[DeviceMemory] = []
        self.outputs: list[DeviceMemory] = []
        self._own = self._record(self._allocate)
        self.views: list[Any] = []
        self.at: dict[tuple[int, ...], _Recorded] = {}
        """Graphs by the addresses of the inputs and the outputs."""
        self._calls: dict[tuple[int, ...], int] = {}

    def _allocate(self, output_shapes: list[Shape]) -> tuple[list[int], list[int]]:
        def memories(specs: Sequence[TensorSpec], shapes: list[Shape]) -> list[DeviceMemory]:
            sized = zip(specs, shapes, strict=True)
            sizes = [spec.engine_dtype.itemsize * math.prod(shape) for spec, shape in sized]
            return [DeviceMemory(self._device, size) for size in sizes]

        self.output_shapes = output_shapes
        self.inputs = memories(self._manifest.inputs, self._shapes)
        self.outputs = memories(self._manifest.outputs, output_shapes)
        for memory in self.inputs:
            memory.clear(self._stream)  # indices that are no numbers of anything lead anywhere
        return [m.address for m in self.inputs], [m.address for m in self.outputs]

    def launch(self) -> None:
        """Queue the run between its own buffers on the stream. Errors: RunError from the driver."""
        self._own.launch()

    def run_at(self, places: tuple[int, ...]) -> bool:
        """Whether a run was queued from and to these addresses, inputs before outputs.

        A graph is made for the second call of the same, when the stream is idle: nothing waits.
        Where TensorRT or the driver refuses to, as for want of memory, there is none for them: the
        run between own buffers needs none. Errors: RunError from the driver at a launch.
        """
        found = self.at.get(places)
        if found is not None:
            found.launch()
            return True
        calls = self._calls[places] = self._calls.pop(places, 0) + 1
        if len(self._calls) > 4 * MAX_PLACES:
            del self._calls[next(iter(self._calls))]
        wanted = 2 if len(self.at) < MAX_PLACES else _OFTEN
        if calls < wanted or not all(map(_is_aligned, places)) or not is_idle(self._stream):
            return False
        if len(self.at) >= MAX_PLACES:
            del self.at[next(iter(self.at))]
        count = len(self.inputs)
        try:
            self.at[places] = self._record(lambda _: (places[:count], places[count:]))
        except RunError as error:
            self._calls[places] = _NEVER
            warnings.warn(
                f"tensors are copied, as no graph of theirs is made: {error}", stacklevel=2
            )
            return False
        return True


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


def _is_aligned(address: int) -> bool:
    return address != 0 and address % ALIGNMENT == 0
