"""Building: ``Network`` -> TensorRT's builder -> ``Engine``."""

from __future__ import annotations

import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any

from trtdsl import interruptible
from trtdsl.cache import CacheWarning
from trtdsl.cached import BuildCache, Built
from trtdsl.errors import BuildError, LoadError, RunError, UnavailableError, explain
from trtdsl.extension import plugins
from trtdsl.held import PrecisionWarning, unheld
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.lower import lower
from trtdsl.network import Network, Operation, Tensor
from trtdsl.options import BuildOptions
from trtdsl.passes.prepared import prepared_for, reworded
from trtdsl.passes.untaken import without_others
from trtdsl.paused import collections_paused
from trtdsl.profiles import Profile, given_sizes, hull, parse
from trtdsl.reference import spec
from trtdsl.tensorrt_api import (
    Api,
    allow_refit,
    import_tensorrt,
    is_strongly_typed,
    network_flags,
    set_compatibility,
    share_profiles,
)
from trtdsl.types import DType, bind
from trtdsl.weights.recording import base_state, record

if TYPE_CHECKING:
    from trtdsl.engine import Engine
    from trtdsl.runtime.device import Gpu

__all__ = [
    "BUILDING",
    "BuildOptions",
    "add_profile",
    "build",
    "builder",
    "configure",
    "required",
    "serialize",
]


_LOG = logging.getLogger("trtdsl.build")
_NO_KERNEL = "Could not find any implementation for node {ForeignNode["
"""What TensorRT 8.6 says where its graph compiler fails at a part of the network."""
BUILDING = threading.RLock()
"""A builder serves one thread at a time, and the messages that it logs are the process's."""


def build(network: Network, options: BuildOptions | None = None) -> Engine:
    """Build an engine on the GPU of the options, or find it in the cache.

    Errors: UnavailableError without TensorRT or a GPU; BuildError carries TensorRT's own messages
    and the PyTorch modules that they point at.
    """
    from trtdsl.runtime.device import primary_context

    options = options or BuildOptions()
    profiles = parse(options.profiles, given_sizes(network))
    trt = import_tensorrt()
    gpu = _gpu(options.gpu)
    with collections_paused():
        cache = BuildCache.of(network, options, trt.__version__, gpu)
    with BUILDING:
        known = cache.load()
        built, engine = _known(known, lambda b: _engine(network, b, options, profiles, gpu))
        if built is None or engine is None:
            with collections_paused():
                prepared = prepared_for(without_others(network, _served(options, gpu)), trt)
            with primary_context(options.gpu):
                prepared, built = _attempted(
                    prepared, partial(_built, options=options, profiles=profiles, cache=cache)
                )
            engine = _engine(network, built, options, profiles, gpu)
            built = replace(built, doubts=_doubts(prepared, engine, trt))
            cache.save(built.pack())
    if built.refit is not None:
        engine.remember(base_state(network))
    if built.doubts:
        warnings.warn(built.doubts, PrecisionWarning, stacklevel=3)
    return engine


def _served(options: BuildOptions, gpu: Gpu) -> str:
    """The compute capability of the GPUs that an engine is for; none where it is for several."""
    return "" if options.hardware == "ampere_plus" else gpu.compute_capability


def _known(
    content: bytes | None, load: Callable[[Built], Engine]
) -> tuple[Built | None, Engine | None]:
    """What the cache holds, and its engine; nothing, with a warning, where TensorRT refuses it.

    The same release for another CUDA, or an older driver, may.
    """
    if content is None:
        return None, None
    built = Built.unpack(content)
    try:
        return built, load(built)
    except LoadError as error:
        warnings.warn(f"a cached engine is built again: {error}", CacheWarning, stacklevel=4)
        return None, None


def _attempted(network: Network, build: Callable[[Network], Built]) -> tuple[Network, Built]:
    """The network that TensorRT built, and its plan: this one, or the same in other words."""
    try:
        return network, build(network)
    except BuildError as error:
        strongly = is_strongly_typed(import_tensorrt())
        other = network if strongly or _NO_KERNEL not in str(error) else reworded(network)
        if other is network:
            raise
        _LOG.warning("TensorRT found no implementation; the network is built as other layers")
    return other, build(other)


def _built(
    network: Network, options: BuildOptions, profiles: tuple[Profile, ...], cache: BuildCache
) -> Built:
    """Lower a network and let TensorRT build it."""
    from trtdsl.runtime.logger import clear, last_errors

    trt = import_tensorrt()
    trt_network = required(builder(options.gpu).create_network(network_flags(trt)), "network")
    own_errors = partial(last_errors, own=True)  # setters tell of a refusal in no other way
    api = Api(trt, trt_network, errors=own_errors, forget_errors=clear)
    if options.hardware == "ampere_plus":
        api.architecture = "80"
    with collections_paused():
        lower(network, api)
    refit = record(network, api).to_json() if options.refits else None
    config = configure(options, half=_halves(network), int8=_quantizes(network))
    plugins.configure(trt, config, network)
    dynamic = {x.name: partial(_shape, x) for x in network.inputs if not x.type.is_static}
    for profile in profiles:
        add_profile(builder(options.gpu), config, dynamic, profile)
    with cache.timings(config):
        plan = serialize(
            trt_network,
            config,
            device=options.gpu,
            progress=options.progress,
            explain_failure=lambda text: _places(network, text) or _suspects(network, trt),
        )
    return Built(plan=plan, refit=refit)


def serialize(
    trt_network: Any,
    config: Any,
    *,
    device: int = 0,
    progress: bool | None = False,
    explain_failure: Callable[[str], str] = lambda text: "",
) -> bytes:
    """The plan of a TensorRT network. ``progress``: as of BuildOptions.

    Errors: BuildError with what TensorRT logged; KeyboardInterrupt, see ``trtdsl.interruptible``.
    """
    from trtdsl.progress import reported
    from trtdsl.runtime.logger import clear, last_errors

    clear()
    made, stopped = builder(device), threading.Event()
    with reported(import_tensorrt(), config, stopped, progress=progress) as stops:
        plan = interruptible.run(
            lambda: _serialized(made, trt_network, config, device), stopped, stops=stops
        )
    if plan is None:
        said = "\n  ".join(last_errors()) or "no reason was logged"
        raise BuildError(f"TensorRT could not build the engine:\n  {said}{explain_failure(said)}")
    return bytes(plan)


def _serialized(made: Any, trt_network: Any, config: Any, device: int) -> Any:
    """In a thread of its own, where no CUDA context is current yet."""
    from trtdsl.runtime.device import primary_context

    with primary_context(device):
        return made.build_serialized_network(trt_network, config)


@cache
def builder(device: int) -> Any:
    """The one builder of this process for a GPU: the first costs some ten seconds."""
    from trtdsl.runtime.device import primary_context
    from trtdsl.runtime.logger import constructed, tensorrt_logger

    _gpu(device)
    trt = import_tensorrt()
    with primary_context(device):
        return constructed(BuildError, trt.Builder, tensorrt_logger())


def required(made: Any, what: str) -> Any:
    """What TensorRT made. Errors: BuildError, with what it logged, where that is nothing."""
    from trtdsl.runtime.logger import last_errors

    if made is None:
        said = "; ".join(last_errors()) or "no reason was logged"
        raise BuildError(f"TensorRT made no {what}: {said}")
    return made


def _gpu(device: int) -> Gpu:
    from trtdsl.runtime.device import find_gpu, require_gpu

    gpu = find_gpu(device)
    if gpu is None and device:
        return require_gpu(device)
    if gpu is None:
        raise UnavailableError(
            explain(
                "no NVIDIA GPU was found", fix="build on a machine with one; see `trtdsl doctor`"
            )
        )
    return gpu


def configure(
    options: BuildOptions, *, half: frozenset[DType] = frozenset(), int8: bool = False
) -> Any:
    """A builder configuration; ``half`` are the 16-bit types that occur, ``int8`` whether it may.

    A strongly typed network says both itself.
    """
    trt = import_tensorrt()
    config = required(builder(options.gpu).create_builder_config(), "builder configuration")
    # Layer names and types can then be read from the engine.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    share_profiles(trt, config)
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    # TensorRT rounds matrix products to TF32 unless told not to, where PyTorch's default is not to.
    if options.precision != "tf32":
        config.clear_flag(trt.BuilderFlag.TF32)
    set_compatibility(trt, config, versions=options.version_compatible, hardware=options.hardware)
    if options.refits:
        allow_refit(trt, config, strip=options.strip_weights)
    if int8 and not is_strongly_typed(trt):
        config.set_flag(trt.BuilderFlag.INT8)
    if half and not is_strongly_typed(trt):
        config.set_flag(trt.BuilderFlag.FP16)
        # To obey them without exception fails where the graph compiler has no kernel for a mixture
        # of types; what TensorRT then chose otherwise, PrecisionWarning tells.
        config.set_flag(trt.BuilderFlag.PREFER_PRECISION_CONSTRAINTS)
    return config


def _doubts(network: Network, engine: Engine, trt: Any) -> str | None:
    """What TensorRT does not compute in the precision asked for, where it is free not to."""
    if is_strongly_typed(trt) or not _halves(network):
        return None
    try:
        lines = unheld(network, engine.inspect())
    except RunError as error:
        return f"whether TensorRT keeps to the precision asked for is not known: {error}"
    listed = "\n  ".join(lines[:10])
    said = f"TensorRT computes {len(lines)} layers in another precision than asked:\n  {listed}"
    return said if lines else None


def _quantizes(network: Network) -> bool:
    return any(isinstance(op.layer, FakeQuantize) for op in network.everywhere())


def _halves(network: Network) -> frozenset[DType]:
    tensors = (x for op in network.everywhere() for x in (*op.inputs, *op.outputs))
    return frozenset(x.dtype for x in tensors if x.dtype in (DType.FLOAT16, DType.BFLOAT16))


def add_profile(
    made: Any,
    config: Any,
    inputs: Mapping[str, Callable[[Mapping[str, int]], tuple[int, ...]]],
    ranges: Profile,
) -> None:
    """An optimization profile: each input of open sizes by name, and its shape for some sizes.

    Errors: BuildError where TensorRT refuses it.
    """
    if not inputs:
        return
    profile = required(made.create_optimization_profile(), "optimization profile")
    ends = ("min", "opt", "max")
    sizes = [{name: getattr(size, end) for name, size in ranges.items()} for end in ends]
    for name, shape in inputs.items():
        profile.set_shape(name, *map(shape, sizes))
    if config.add_optimization_profile(profile) < 0:
        told = ", ".join(f"{n} {r}" for n, r in ranges.items())
        raise BuildError(f"TensorRT refused the ranges of the dynamic sizes: {told}")


def _shape(x: Tensor, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(bind(d, sizes) for d in x.shape)


def _places(network: Network, text: str) -> str:
    """The modules whose layers TensorRT's message names."""
    named = [op for op in network.operations if _is_named(op, text)]
    return "".join(f"\n  at:  {op.name}: {op.source}" for op in named[:8])


def _suspects(network: Network, trt: Any) -> str:
    """What may be at fault where TensorRT 8 names an internal error of its own and no layer."""
    deciding = [op for op in network.operations if op.layer.decides]
    if is_strongly_typed(trt) or not deciding:
        return ""
    fix = "use TensorRT 10 or later, or sizes that no value decides"
    why = explain("TensorRT 8 fails at some sizes that values decide", fix=fix)
    return f"\n  {why}" + "".join(f"\n  at:  {op.name}: {op.source}" for op in deciding[:8])


def _is_named(operation: Operation, text: str) -> bool:
    whole = rf"(?<![\w./]){re.escape(operation.name)}(?!\w)"
    return re.search(whole, text) is not None


def _engine(
    network: Network, built: Built, options: BuildOptions, profiles: tuple[Profile, ...], gpu: Gpu
) -> Engine:
    import trtdsl
    from trtdsl.engine import Engine
    from trtdsl.manifest import Manifest
    from trtdsl.runtime.files import digest

    trt = import_tensorrt()
    types = Api(trt, None)
    input_tree, output_tree, parameters = network.trees()
    manifest = Manifest(
        inputs=tuple(spec(x, types.physical(x.dtype)) for x in network.inputs),
        outputs=tuple(spec(x, types.physical(x.dtype)) for x in network.outputs),
        input_tree=input_tree,
        output_tree=output_tree,
        parameters=parameters,
        symbols=network.symbols | hull(profiles),
        profiles=profiles,
        precision=options.precision or "as traced",
        tensorrt=trt.__version__,
        compute_capability=gpu.compute_capability,
        device=gpu.name,
        sha256=digest(built.plan),
        size=len(built.plan),
        refit=built.refit,
        stripped=options.strip_weights,
        version_compatible=options.version_compatible,
        hardware=options.hardware,
        plugins=plugins.names(network, types),
        trtdsl=trtdsl.__version__,
    )
    return Engine(built.plan, manifest, device=options.gpu)
