"""The contexts of one stream.

A context owns the state of a run, so two runs of one context may only follow one another on one
stream; each stream therefore has its own lane, and a lock for the threads that share it.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from trtdsl.runtime.context import Context
from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.graphs import Captured, Graphs, Shape
from trtdsl.runtime.open_outputs import Memory

__all__ = ["Lane"]


class Lane:
    """A stream, and a context for each profile and each graph that it is used with.

    Hold ``lock`` around a run. A lane either captures its runs or does not, all its life.
    """

    def __init__(self, contexts: Contexts, stream: int, memory: Memory) -> None:
        """``memory`` serves open outputs, whose sizes the inputs' values decide."""
        self.lock = threading.Lock()
        self.stream = stream
        self.input_shapes: list[Shape] | None = None
        self.output_shapes: list[Shape | None] = []
        """None where the inputs' values decide: ``open`` has that output after a run."""
        self.context: Context | None = None
        self.captured: Captured | None = None
        self._contexts = contexts
        self._memory = memory
        self._graphs = Graphs(contexts, stream)
        self._of_profile: dict[int, Context] = {}

    @property
    def open(self) -> dict[int, Any]:
        """The allocators of open outputs, by index, with what the last run gave."""
        return self.context.open if self.context is not None else {}

    def set_shapes(self, shapes: list[Shape]) -> None:
        """Choose the context for the inputs' shapes and set them; nothing where they are the last.

        Errors: RunError when no profile takes them, or TensorRT refuses.
        """
        if shapes == self.input_shapes:
            return
        self.input_shapes = None
        self.context = self._context(self._contexts.profile_of(shapes))
        self.context.set_shapes(shapes)
        self.output_shapes = self.context.output_shapes
        self.input_shapes = shapes

    def capture(self, shapes: list[Shape]) -> Captured:
        """The captured run for the inputs' shapes; the same where they are the last.

        Errors: RunError when no profile takes them, or TensorRT or the driver refuses.
        """
        if self.captured is None or shapes != self.input_shapes:
            self.input_shapes = None
            self.captured = self._graphs.of(shapes)
            self.output_shapes = list(self.captured.output_shapes)
            self.input_shapes = shapes
        return self.captured

    def run(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Queue a run for the shapes set last. Addresses are device pointers, 256-byte aligned.

        ``outputs`` has none for open outputs. With such the call waits for their sizes.
        Errors: RunError with TensorRT's words when it refuses.
        """
        assert self.context is not None, "set_shapes comes first"
        self.context.run(self.stream, inputs, outputs)

    def _context(self, profile: int) -> Context:
        if profile not in self._of_profile:
            self._of_profile[profile] = self._contexts.make(profile, self.stream, self._memory)
        return self._of_profile[profile]
