"""``Engine``: a built TensorRT engine as a callable with the model's own inputs and outputs."""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtdsl.errors import LoadError, RunError, explain
from trtdsl.layer_times import Profile, make_recorder, measure
from trtdsl.manifest import Manifest
from trtdsl.runtime import files
from trtdsl.runtime.contexts import GraphMode, Memory
from trtdsl.runtime.device import index_of, let_go, primary_context
from trtdsl.runtime.driver import refuse_after_fork
from trtdsl.runtime.interop import adopt, is_foreign
from trtdsl.runtime.open_outputs import open_outputs
from trtdsl.runtime.plan import deserialize, serialized
from trtdsl.runtime.runners import HostCopies, Runners
from trtdsl.signature import Signature, check_device, kind_of
from trtdsl.tensorrt_api import context_memory, import_tensorrt
from trtdsl.tree import Leaf, Placeholder, Tree, flatten
from trtdsl.weights.refit import Refitting

if TYPE_CHECKING:
    import torch

    from trtdsl.replicas import Replicas

__all__ = ["Engine", "HostCopies", "load"]


class Engine:
    """A TensorRT engine that is called as its model was.

    - torch CUDA tensors: no copy; queued on torch's current stream; returns torch tensors
    - numpy arrays: copied through page-locked memory; returns new numpy arrays when all is done

    Inputs have the dtype and shape of the conversion (``manifest.inputs``); symbolic sizes vary
    within their ranges. A tensor that starts at no multiple of 256 bytes, such as ``x[1:]``, is
    copied first. Where TensorRT (8.6) lacks int64, such inputs are checked to fit int32, which
    waits for the GPU. Arrays of other libraries that have ``__dlpack__`` or
    ``__cuda_array_interface__`` are taken without a copy; torch tensors come back.

    Threads and streams may share an engine: each of torch's streams gets its own context, and so
    does each of up to eight calls with numpy arrays that run at the same time. Of small models they
    get more done than one thread does with ``graphs`` only: TensorRT's launches of kernels wait
    for one another.

    Errors: RunError for inputs that do not fit, and in a process forked after CUDA was started.
    Source: ICudaEngine, IExecutionContext.
    """

    def __init__(
        self,
        plan: bytes,
        manifest: Manifest,
        *,
        device: int | str = 0,
        host_copies: HostCopies = "auto",
    ) -> None:
        """Deserialize a plan on GPU ``1`` or ``"cuda:1"``. Errors: LoadError, UnavailableError."""
        self._device = index_of(device)
        self._trt_engine = deserialize(plan, manifest, self._device)
        self._plan = plan
        if manifest.size != len(plan) or not manifest.sha256:
            sha256 = files.digest(plan)
            manifest = dataclasses.replace(manifest, sha256=sha256, size=len(plan))
        self._manifest = manifest
        self._signature = Signature.of(manifest)
        self._is_flat = self._signature.is_flat
        self._pack = _packer(manifest.output_tree)
        self._host_copies: HostCopies = host_copies
        self._runners = self._make_runners()
        self._lock = threading.Lock()
        self._refitting: Refitting | None = None
        self._lacks_weights = manifest.stripped
        self._plan_is_old = False

    def __del__(self) -> None:
        if "_trt_engine" in self.__dict__:
            let_go(self._device, self, "_runners", "_trt_engine")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on torch CUDA tensors or numpy arrays; the outputs nest as the model's do."""
        refuse_after_fork()
        flat = self._is_flat and not kwargs
        leaves: Sequence[Leaf] = args if flat else self._signature.bind(args, kwargs)
        runner = self._runners.torch_runner
        if runner is not None:
            outputs = runner.again(leaves)
            if outputs is not None:
                return self._pack(outputs)
        if flat:
            leaves = self._signature.bind(args, kwargs)
        return self._pack(self._run_checked(leaves))

    def run_async(self, *args: Any, **kwargs: Any) -> Future[Any]:
        """A future of what a call returns; it is done when the GPU is.

        torch tensors: queued on the current stream before this returns, so the same rules hold as
        for a call. numpy arrays: must not change before the future is done.
        Errors: RunError at once for inputs that do not fit; the future raises all others.
        """
        refuse_after_fork()
        leaves = self._checked(args, kwargs)
        runners = self._runners
        if kind_of(leaves) == "numpy":
            runner = runners.host()
            return runners.submit(lambda: self._pack(runner(leaves)))
        wait = runners.torch().queued(leaves)
        return runners.submit(lambda: self._pack(wait()))

    def run_into(self, outputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Run on torch tensors and write to ``outputs``, which is returned.

        ``outputs`` nests as the model's outputs do; ``empty_outputs`` makes it. They may be memory
        of the inputs, and are then written behind the run.
        Errors: RunError for outputs or inputs that do not fit.
        """
        leaves = self._checked(args, kwargs)
        into = list(self._manifest.output_tree.match(outputs, "outputs"))
        if {kind_of(leaves), kind_of(into)} != {"torch"}:
            raise RunError(explain("run_into takes torch CUDA tensors", fix="engine(...)"))
        self._runners.torch()(leaves, into)
        return outputs

    def empty_outputs(self, *args: Any, **kwargs: Any) -> Any:
        """torch tensors of the outputs' shapes for these inputs, with undefined contents.

        Errors: RunError for inputs that do not fit.
        """
        shapes = [tuple(leaf.shape) for leaf in self._checked(args, kwargs)]
        return self._pack(self._runners.torch().empty(shapes))

    def profile(self, *args: Any, runs: int = 20, **kwargs: Any) -> Profile:
        """The time of each layer over some runs, and summed by PyTorch module.

        Layers are timed one after the other, with a wait for each, so their sum is more than the
        time of a run. Errors: RunError, as of a call. Source: IProfiler.
        """
        leaves = self._checked(args, kwargs)
        recorder = make_recorder()
        runners = self._make_runners(profiler=recorder)
        try:
            runner = runners.host() if kind_of(leaves) == "numpy" else runners.torch()
            return measure(lambda: runner(leaves), recorder, runs)
        finally:
            runners.close()

    def replicate(self, devices: Iterable[int | str]) -> Replicas:
        """This engine on several GPUs of this host, which serve one queue of calls.

        Errors: LoadError for a GPU of another compute capability; UnavailableError.
        """
        from trtdsl.replicas import Replicas

        return Replicas(self, [index_of(device) for device in devices])

    def on(self, device: int | str) -> Engine:
        """The same engine on another GPU. Errors: LoadError, UnavailableError."""
        index = index_of(device)
        plan, manifest = self._current()
        files.check_compatible("this engine", manifest, index)
        engine = Engine(plan, manifest, device=index, host_copies=self._host_copies)
        if self._refitting is not None:
            engine.remember(self._refitting.known)
        return engine

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self._manifest.inputs))
        outputs = ", ".join(map(str, self._manifest.outputs))
        return f"Engine({inputs} -> {outputs})"

    @property
    def manifest(self) -> Manifest:
        """Inputs, outputs, structure and origin."""
        return self._current()[1]

    @property
    def plan(self) -> bytes:
        """The serialized engine, as TensorRT made it, with the weights that it has now."""
        return self._current()[0]

    @property
    def device(self) -> str:
        """The GPU that the engine lives on, such as ``"cuda:0"``."""
        return f"cuda:{self._device}"

    @property
    def graphs(self) -> GraphMode:
        """Whether runs are captured as CUDA graphs, one for each combination of input shapes.

        A run then copies the inputs into the graph's buffers, launches it, and copies the outputs
        out: they are the caller's, as without graphs. Torch tensors that lie where those of an
        earlier call lay, as PyTorch's allocator often has it, get a graph without copies.
        ``"borrow"`` needs no copy of the outputs: the tensors returned are the graph's own, valid
        until the next call with the same shapes on the same stream. Up to 32 combinations of
        shapes are kept for each stream, and up to 8 places of tensors for each.
        """
        return self._runners.graphs

    @graphs.setter
    def graphs(self, mode: GraphMode) -> None:
        if mode not in (False, True, "borrow"):
            raise RunError(f'graphs is False, True or "borrow", not {mode!r}')
        if mode and (opened := open_outputs(self._manifest)):
            specs = ", ".join(str(self._manifest.outputs[i]) for i in opened)
            raise RunError(f"no graph can hold a run whose values decide the size of {specs}")
        self._remake(graphs=mode, shared=self.share_workspace)

    @property
    def share_workspace(self) -> bool:
        """Whether all contexts use one workspace, and so take turns on the GPU."""
        return self._runners.contexts.shared

    @share_workspace.setter
    def share_workspace(self, shared: bool) -> None:
        self._remake(graphs=self.graphs, shared=bool(shared))

    @property
    def device_memory(self) -> int:
        """Bytes of GPU memory that each execution context takes for its workspace."""
        return context_memory(self._trt_engine)

    @property
    def memory(self) -> Memory:
        """The GPU memory of the engine and of the contexts that it has now, in bytes."""
        return self._runners.contexts.memory(len(self._plan))

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
        files.write(Path(path), *self._current())

    def refit(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Change the weights to those of a ``state_dict`` of the same model, whole or a part.

        Keys, dtypes and shapes are the model's own. Runs that were started are waited for; none may
        start meanwhile. An engine that was loaded, and not refitted since, needs all weights that
        were merged with the ones given; the error names them.
        Errors: RunError for an engine that was built without ``refit=True``, and lists every key,
        dtype and shape that does not fit; the engine is then as it was. Source: IRefitter.
        """
        with self._lock, primary_context(self._device):
            refitting = self._refitting or Refitting.of(self._manifest)
            graphs, shared = self._runners.graphs, self._runners.contexts.shared
            # TensorRT wants no run under way, and new contexts afterwards.
            self._runners.close()
            try:
                refitting.apply(self._trt_engine, weights)
            finally:
                self._runners = self._make_runners(graphs=graphs, shared=shared)
            self._refitting = refitting
            self._lacks_weights = False
            self._plan_is_old = not self._manifest.stripped

    def remember(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Note what the weights are, by the network's names; give a stripped plan all of them."""
        with self._lock, primary_context(self._device):
            self._refitting = Refitting.of(self._manifest, weights)
            if self._lacks_weights:
                self._refitting.restore(self._trt_engine)
                self._lacks_weights = False

    def _current(self) -> tuple[bytes, Manifest]:
        """The plan and its manifest; after a refit, serialized again when first asked for."""
        with self._lock:
            if self._plan_is_old:
                with primary_context(self._device):
                    plan = serialized(self._trt_engine)
                self._manifest = dataclasses.replace(
                    self._manifest, sha256=files.digest(plan), size=len(plan)
                )
                self._plan, self._plan_is_old = plan, False
            return self._plan, self._manifest

    def _checked(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Leaf]:
        """The tensors of a call, all of one kind and held against the manifest."""
        return self._check(self._signature.bind(args, kwargs))

    def _check(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        if self._lacks_weights:
            raise RunError(
                explain(
                    "the engine's plan was stripped of its weights",
                    fix="trtdsl.load(path, weights=model.state_dict()), or engine.refit(...)",
                )
            )
        if any(is_foreign(leaf) for leaf in leaves):
            leaves = adopt(leaves, self._device)
        kind = kind_of(leaves)
        self._signature.check(leaves)
        if kind == "torch":
            check_device(self._manifest.inputs, leaves, self.device)
        return list(leaves)

    def _run_checked(self, leaves: Sequence[Leaf]) -> list[Leaf]:
        leaves = self._check(leaves)
        if kind_of(leaves) == "numpy":
            return self._runners.host()(leaves)
        return self._runners.torch()(leaves)

    def _make_runners(self, **options: Any) -> Runners:
        engine, manifest = self._trt_engine, self._manifest
        return Runners(engine, manifest, self._device, self._host_copies, **options)

    def _remake(self, **options: Any) -> None:
        """Run in another way from now on; calls under way in other threads end in the old one."""
        with self._lock:
            old, self._runners = self._runners, self._make_runners(**options)
        old.close()


def load(
    path: str | os.PathLike[str],
    *,
    device: int | str = 0,
    host_copies: HostCopies = "auto",
    weights: Mapping[str, torch.Tensor] | None = None,
) -> Engine:
    """The engine that ``Engine.save`` wrote, ready on a GPU, ``1`` or ``"cuda:1"``.

    ``weights``: a ``state_dict`` to refit it with; a plan that was built with ``strip_weights``
    does not run without.

    An engine file is code: TensorRT runs what the plan holds, and the manifest imports the classes
    it names. Load only what you trust.
    Errors: LoadError for files that are missing, damaged, or made for another TensorRT or GPU, each
    told apart before TensorRT is asked; UnavailableError without TensorRT or a GPU.
    """
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        what = f"an engine is loaded from the path of its file, not from {kind}"
        raise LoadError(explain(what, fix='trtdsl.load("m.engine")'))
    place = Path(path)
    plan, manifest = files.read(place)
    index = index_of(device)
    files.check_compatible(place, manifest, index)
    engine = Engine(plan, manifest, device=index, host_copies=host_copies)
    if weights is not None:
        engine.refit(weights)
    return engine


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
