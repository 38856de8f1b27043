"""The execution contexts of an engine: made on demand, counted, with workspaces apart or shared."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from trtdsl.errors import RunError
from trtdsl.manifest import Manifest
from trtdsl.profiles import choose
from trtdsl.runtime import logger
from trtdsl.runtime.context import Context, refusal
from trtdsl.runtime.device import let_go
from trtdsl.runtime.open_outputs import Memory as OutputMemory
from trtdsl.runtime.workspace import Workspace
from trtdsl.signature import Signature
from trtdsl.tensorrt_api import context_memory, context_without_memory, set_workspace

__all__ = ["Contexts", "GraphMode", "Memory"]

GraphMode = bool | Literal["borrow"]
"""Whether runs are captured; ``"borrow"`` also lends the graphs' own outputs to the caller."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of device memory that TensorRT's objects take.

    - ``plan``: of the serialized engine, a fair measure of its weights on the device
    - ``workspace``: that one context needs
    - ``contexts``: how many there are now; ``workspaces``: how many workspaces they use
    """

    plan: int
    workspace: int
    contexts: int
    workspaces: int

    @property
    def total(self) -> int:
        """All workspaces and the weights."""
        return self.plan + self.workspace * self.workspaces

    def __str__(self) -> str:
        each = f"{self.workspaces} of {self.workspace / 2**20:.1f} MiB"
        return (
            f"{self.total / 2**20:.1f} MiB: engine {self.plan / 2**20:.1f} MiB, "
            f"workspaces {each} for {self.contexts} contexts"
        )


class Contexts:
    """Makes contexts of an ``ICudaEngine`` on a device, and knows what they take.

    ``shared``: all of them use one workspace, and their runs take turns on the GPU.
    ``profiler``: a ``tensorrt.IProfiler`` that each of them reports to.
    """

    def __init__(
        self,
        trt_engine: Any,
        manifest: Manifest,
        device: int,
        *,
        shared: bool = False,
        profiler: Any = None,
    ) -> None:
        self.manifest = manifest
        self.device = device
        self.shared = shared
        self._engine = trt_engine
        self._profiler = profiler
        self._signature = Signature.of(manifest)
        self._lock = threading.Lock()
        self._made: weakref.WeakSet[Context] = weakref.WeakSet()
        self._workspaces: weakref.WeakSet[Workspace] = weakref.WeakSet()
        self._common: Workspace | None = None

    def __del__(self) -> None:
        let_go(self.device, self, "_engine")

    def make(
        self, profile: int, stream: int, memory: OutputMemory, workspace: Workspace | None = None
    ) -> Context:
        """A context of a profile, for runs on ``stream``, in the CUDA context that is current.

        Without a workspace it gets its own, or the one that all share.
        Errors: RunError when TensorRT refuses it, for want of memory above all.
        """
        with self._lock:
            if self.shared and workspace is None:
                workspace = self._common = self._common or self._workspace()
            logger.clear()
            context = self._create(workspace)
            if context is None:
                fix = "free GPU memory, or share one workspace: engine.share_workspace = True"
                raise RunError(refusal("an execution context", fix))
            # TensorRT gives a context the first profile by itself.
            if profile and not context.set_optimization_profile_async(profile, stream):
                raise RunError(refusal(f"the optimization profile {profile}"))
            if self._profiler is not None:
                context.profiler = self._profiler
            made = Context(
                context,
                self.manifest,
                self.device,
                memory,
                workspace=workspace,
                takes_turns=self.shared,
            )
            self._made.add(made)
            return made

    def workspace(self) -> Workspace:
        """A workspace for contexts that run one after the other. Errors: RunError (memory)."""
        with self._lock:
            if self.shared:
                self._common = self._common or self._workspace()
                return self._common
            return self._workspace()

    def profile_of(self, shapes: Sequence[tuple[int, ...]]) -> int:
        """The profile for inputs of these shapes. Errors: RunError prints all profiles' ranges."""
        profiles = self.manifest.profiles
        return choose(profiles, self._signature.sizes(shapes)) if len(profiles) > 1 else 0

    def memory(self, plan: int) -> Memory:
        """What the contexts alive take now; ``plan`` is the size of the plan in bytes."""
        with self._lock:
            made = list(self._made)
            lent = len(self._workspaces)
        own = sum(context.workspace is None for context in made)
        return Memory(
            plan=plan,
            workspace=context_memory(self._engine),
            contexts=len(made),
            workspaces=own + lent,
        )

    def _create(self, workspace: Workspace | None) -> Any:
        if workspace is None:
            return self._engine.create_execution_context()
        context = context_without_memory(self._engine)
        if context is not None:
            set_workspace(context, workspace.memory.address, workspace.memory.size)
        return context

    def _workspace(self) -> Workspace:
        made = Workspace(self.device, context_memory(self._engine))
        self._workspaces.add(made)
        return made
