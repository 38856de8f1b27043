"""numpy arrays from many threads: a pool of lanes, each with a stream, contexts and buffers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from trtdsl.runtime.contexts import Contexts
from trtdsl.runtime.page_locked import Pool
from trtdsl.runtime.staging import HostLane, Mover

__all__ = ["MAX_LANES", "HostRunner"]

MAX_LANES = 8
"""Calls that are on the GPU at a time; each has a context, and further ones wait."""


class HostRunner:
    """Runs an engine from numpy arrays to fresh numpy arrays, up to ``MAX_LANES`` calls at a time.

    A lane is made when a call finds none idle, and the one used last is used first.
    """

    def __init__(
        self, contexts: Contexts, make_mover: Callable[[], Mover], *, graphs: bool = False
    ) -> None:
        self._contexts = contexts
        self._make_mover = make_mover
        self._graphs = graphs
        self._pool = Pool(contexts.device)
        self._idle: list[HostLane] = []
        self._places = threading.BoundedSemaphore(MAX_LANES)
        self._idle.append(self._make())  # what is wrong with pycuda or torch is told at once

    def __call__(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
        """Outputs of checked, contiguous inputs. Errors: RunError from TensorRT or the driver."""
        with self._lane() as lane:
            return lane(arrays)

    @contextmanager
    def _lane(self) -> Iterator[HostLane]:
        with self._places:
            try:
                lane = self._idle.pop()
            except IndexError:
                lane = self._make()
            try:
                yield lane
            finally:
                self._idle.append(lane)

    def _make(self) -> HostLane:
        return HostLane(self._contexts, self._make_mover(), self._pool, graphs=self._graphs)
