"""``Engine``: a built TensorRT engine as a callable with the model's own inputs and outputs."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from trtdsl.errors import RunError, UnavailableError
from trtdsl.manifest import Manifest
from trtdsl.runtime import files
from trtdsl.runtime.device import primary_context
from trtdsl.runtime.plan import deserialize
from trtdsl.runtime.staging import HostRunner, Mover
from trtdsl.signature import Signature, check_device, kind_of
from trtdsl.tensorrt_api import context_memory, import_tensorrt
from trtdsl.tree import Leaf, Placeholder, Tree, flatten

if TYPE_CHECKING:
    from trtdsl.runtime.torch_side import TorchRunner

__all__ = ["Engine", "HostCopies", "load"]

HostCopies = Literal["auto", "pycuda", "torch"]
"""Who copies numpy arrays to the GPU and back: pycuda, torch, or pycuda where it is installed."""


class Engine:
    """A TensorRT engine that is called as its model was.

    - torch CUDA tensors: no copy; queued on torch's current stream; returns torch tensors
    - numpy arrays: copied through page-locked memory; returns new numpy arrays when all is done

    Inputs have the dtype and shape of the conversion (``manifest.inputs``); symbolic sizes vary
    within their ranges. A tensor that starts at no multiple of 256 bytes, such as ``x[1:]``, is
    copied first. Where TensorRT (8.6) lacks int64, such inputs are checked to fit int32, which
    waits for the GPU. Threads and streams may share an engine: each stream gets its own context.

    Errors: RunError for inputs that do not fit. Source: ICudaEngine, IExecutionContext.
    """

    def __init__(
        self,
        plan: bytes,
        manifest: Manifest,
        *,
        device: int = 0,
        host_copies: HostCopies = "auto",
    ) -> None:
        """Deserialize a plan on GPU ``device``. Errors: LoadError, UnavailableError."""
        self._trt_engine = deserialize(plan, manifest, device)
        self._plan = plan
        if manifest.size != len(plan) or not manifest.sha256:
            sha256 = files.digest(plan)
            manifest = dataclasses.replace(manifest, sha256=sha256, size=len(plan))
        self._manifest = manifest
        self._signature = Signature.of(manifest)
        self._is_flat = self._signature.is_flat
        self._pack = _packer(manifest.output_tree)
        self._device = device
        self._host_copies: HostCopies = host_copies
        self._torch_runner: TorchRunner | None = None
        self._host_runner: HostRunner | None = None
        self._lock = threading.Lock()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on torch CUDA tensors or numpy arrays; the outputs nest as the model's do."""
        flat = self._is_flat and not kwargs
        leaves: Sequence[Leaf] = args if flat else self._signature.bind(args, kwargs)
        if self._torch_runner is not None:
            outputs = self._torch_runner.again(leaves)
            if outputs is not None:
                return self._pack(outputs)
        if flat:
            leaves = self._signature.bind(args, kwargs)
        return self._pack(self._run_checked(leaves))

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self._manifest.inputs))
        outputs = ", ".join(map(str, self._manifest.outputs))
        return f"Engine({inputs} -> {outputs})"

    @property
    def manifest(self) -> Manifest:
        """Inputs, outputs, structure and origin."""
        return self._manifest

    @property
    def plan(self) -> bytes:
        """The serialized engine, as TensorRT made it."""
        return self._plan

    @property
    def device_memory(self) -> int:
        """Bytes of GPU memory that each execution context takes for its workspace."""
        return context_memory(self._trt_engine)

    @property
    def num_layers(self) -> int:
        """Layers left after TensorRT's fusions."""
        return int(self._trt_engine.num_layers)

    def inspect(self) -> list[dict[str, Any]]:
        """TensorRT's own description of each layer, a dict with at least ``Name``.

        Types, shapes and tactics are there when it was built with detailed profiling verbosity.
        Errors: RunError when TensorRT gives none. Source: EngineInspector.
        """
        trt = import_tensorrt()
        with primary_context(self._device):
            inspector = self._trt_engine.create_engine_inspector()
            text = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
        try:
            layers = json.loads(text, strict=False)["Layers"]
        except (ValueError, KeyError, TypeError) as error:
            at = getattr(error, "pos", 0)
            near = text[max(at - 100, 0) : at + 100]
            raise RunError(f"TensorRT described the engine in no JSON: ... {near!r}") from error
        return [{"Name": layer} if isinstance(layer, str) else dict(layer) for layer in layers]

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the plan to ``path``, exactly as TensorRT made it, and ``path + ".json"``.

        Each file is replaced in one step. Errors: OSError; ConversionError for an input or output
        class that no import can find again.
        """
        files.write(Path(path), self._plan, self._manifest)

    def _run_checked(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        kind = kind_of(leaves)
        self._signature.check(leaves)
        if kind == "numpy":
            return self._host()(leaves)
        check_device(self._manifest.inputs, leaves, f"cuda:{self._device}")
        return self._torch()(leaves)

    def _torch(self) -> TorchRunner:
        with self._lock:
            if self._torch_runner is None:
                from trtdsl.runtime.torch_side import TorchRunner

                self._torch_runner = TorchRunner(self._trt_engine, self._manifest, self._device)
            return self._torch_runner

    def _host(self) -> HostRunner:
        with self._lock:
            if self._host_runner is None:
                mover = _mover(self._host_copies, self._device)
                self._host_runner = HostRunner(self._trt_engine, self._manifest, mover)
            return self._host_runner


def load(
    path: str | os.PathLike[str], *, device: int = 0, host_copies: HostCopies = "auto"
) -> Engine:
    """The engine that ``Engine.save`` wrote, ready on GPU ``device``.

    An engine file is code: TensorRT runs what the plan holds, and the manifest imports the classes
    it names. Load only what you trust.
    Errors: LoadError for files that are missing, damaged, or made for another TensorRT or GPU, each
    told apart before TensorRT is asked; UnavailableError without TensorRT or a GPU.
    """
    place = Path(path)
    plan, manifest = files.read(place)
    files.check_compatible(place, manifest, device)
    return Engine(plan, manifest, device=device, host_copies=host_copies)


def _packer(tree: Tree) -> Callable[[list[Leaf]], Any]:
    """How outputs become the model's result, without a walk for one tensor or a tuple of them."""
    children = tree.children.values()
    if not children and tree.num_leaves == 1:
        return lambda outputs: outputs[0]
    if tree == _plain_tuple(len(children)):
        return tuple
    return tree.unflatten


def _plain_tuple(length: int) -> Tree:
    return flatten(tuple(Placeholder(i) for i in range(length)))[1]


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
