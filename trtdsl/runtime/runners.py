"""What runs an engine, made when first needed and made anew when the way to run changes."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from trtdsl.errors import UnavailableError
from trtdsl.manifest import Manifest
from trtdsl.runtime.contexts import Contexts, GraphMode
from trtdsl.runtime.device import primary_context
from trtdsl.runtime.driver import call
from trtdsl.runtime.host_side import MAX_LANES, HostRunner
from trtdsl.runtime.staging import Mover

if TYPE_CHECKING:
    from trtdsl.runtime.torch_side import TorchRunner

__all__ = ["HostCopies", "Runners"]

HostCopies = Literal["auto", "pycuda", "torch"]
"""Who copies numpy arrays to the GPU and back: pycuda, torch, or pycuda where it is installed."""


class Runners:
    """The torch side, the numpy side and the threads of ``run_async``, over one set of contexts."""

    def __init__(
        self,
        trt_engine: Any,
        manifest: Manifest,
        device: int,
        host_copies: HostCopies,
        *,
        graphs: GraphMode = False,
        shared: bool = False,
        profiler: Any = None,
    ) -> None:
        self.contexts = Contexts(trt_engine, manifest, device, shared=shared, profiler=profiler)
        self.graphs = graphs
        self.torch_runner: TorchRunner | None = None
        self._device = device
        self._host_copies: HostCopies = host_copies
        self._host_runner: HostRunner | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def torch(self) -> TorchRunner:
        """Errors: RunError, UnavailableError."""
        with self._lock:
            if self.torch_runner is None:
                from trtdsl.runtime.torch_side import TorchRunner

                self.torch_runner = TorchRunner(self.contexts, graphs=self.graphs)
            return self.torch_runner

    def host(self) -> HostRunner:
        """Errors: UnavailableError where neither pycuda nor torch can move arrays."""
        with self._lock:
            if self._host_runner is None:
                mover = partial(_mover, self._host_copies, self._device)
                self._host_runner = HostRunner(self.contexts, mover, graphs=bool(self.graphs))
            return self._host_runner

    def submit(self, work: Any, *args: Any) -> Future[Any]:
        """``work(*args)`` in a thread, of which there are as many as calls fit on the GPU.

        A call that had begun before ``close`` gets threads anew.
        """
        with self._lock:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(MAX_LANES, thread_name_prefix="trtdsl-run")
            return self._threads.submit(work, *args)

    def close(self) -> None:
        """Wait for the device, so that what these runners hold can be freed."""
        with self._lock:
            threads, self._threads = self._threads, None
        if threads is not None:
            threads.shutdown()
        with primary_context(self._device):
            call("cuCtxSynchronize")


def _mover(host_copies: HostCopies, device: int) -> Mover:
    from trtdsl.runtime.pinned import PinnedMover
    from trtdsl.runtime.pycuda_side import PycudaMover

    if host_copies == "pycuda":
        return PycudaMover(device)
    if host_copies == "torch":
        return PinnedMover(device)
    try:
        return PycudaMover(device)
    except UnavailableError:
        return PinnedMover(device)
