"""The ONNX path, kept for comparison: a module by TensorRT's ONNX parser, or by onnxruntime.

Nothing in trtdsl's way from a module to an engine uses it, so that it can tell when that way errs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from trtdsl.build import (
    BUILDING,
    BuildOptions,
    add_profile,
    builder,
    configure,
    required,
    serialize,
)
from trtdsl.cached import BuildCache
from trtdsl.errors import BuildError, ConversionError, RunError, UnavailableError, explain
from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.onnx_export import OnnxModel, export
from trtdsl.runtime.expression import UNKNOWN, evaluate
from trtdsl.signature import Signature
from trtdsl.tensorrt_api import (
    allow_precision,
    dtype_of,
    import_tensorrt,
    network_flags,
    why_unavailable,
)
from trtdsl.tree import Placeholder, flatten

if TYPE_CHECKING:
    import torch
    from torch import nn

    from trtdsl.engine import Engine

__all__ = ["OnnxModel", "Oracle", "build_engine", "export", "oracle", "run_onnxruntime"]


@dataclass(frozen=True, kw_only=True)
class Oracle:
    """A module by way of ONNX, called as the module is; ``backend`` says what runs it.

    With ``"tensorrt"`` calls are as of ``Engine``; with ``"onnxruntime"`` tensors of any device are
    taken, computed on the CPU in the dtypes of the ONNX file, and returned on the CPU.
    """

    model: OnnxModel
    backend: Literal["tensorrt", "onnxruntime"]
    size: int
    """Bytes of the plan, or of the ONNX file."""
    num_layers: int | None
    """Layers of the engine, or nodes of the ONNX file where the onnx package is there to count."""
    run: Callable[..., Any] = field(repr=False)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(*args, **kwargs)


def oracle(
    model: nn.Module,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opt: Mapping[str, int] | None = None,
    options: BuildOptions | None = None,
    backend: Literal["auto", "tensorrt", "onnxruntime"] = "auto",
) -> Oracle:
    """Take a module the ONNX way: TensorRT's parser where TensorRT and a GPU are, else onnxruntime.

    Inputs: as of ``trtdsl.trace``. ``options`` are the engine's; onnxruntime has none of them.
    Errors: ConversionError from the export, BuildError, UnavailableError.
    """
    if backend not in ("auto", "tensorrt", "onnxruntime"):
        raise ConversionError(
            explain(
                f"backend is 'auto', 'tensorrt' or 'onnxruntime', not {backend!r}",
                fix="leave it out for TensorRT where it is, and else onnxruntime",
            )
        )
    exported = OnnxModel.of(model, args, kwargs, dynamic_shapes=dynamic_shapes, opt=opt)
    if backend == "tensorrt" or (backend == "auto" and why_unavailable() is None):
        engine = build_engine(exported, options)
        return Oracle(
            model=exported,
            backend="tensorrt",
            size=len(engine.plan),
            num_layers=engine.num_layers,
            run=engine,
        )
    return Oracle(
        model=exported,
        backend="onnxruntime",
        size=len(exported.data),
        num_layers=_num_nodes(exported.data),
        run=_OnnxRuntime(exported),
    )


def build_engine(onnx: bytes | OnnxModel, options: BuildOptions | None = None) -> Engine:
    """The engine that TensorRT's own ONNX parser makes, called as ours are.

    From bytes, inputs are positional in the file's order and outputs are a tensor or a tuple. With
    ``precision="fp16"`` or ``"bf16"`` TensorRT chooses what to compute in 16 bits. Layers that were
    timed in other builds, ours among them, are not timed again; the engine itself is not cached.
    Errors: BuildError with every error of the parser; for 16 bits on TensorRT 11, which only has
    strongly typed networks; and for bytes whose inputs have open sizes.
    """
    with BUILDING:
        return _built(onnx, options or BuildOptions())


def _built(onnx: bytes | OnnxModel, options: BuildOptions) -> Engine:
    from trtdsl.runtime.device import require_gpu

    trt = import_tensorrt()
    made = builder(options.gpu)
    # Weakly typed, where the release has that: precision is then the builder's choice.
    network = required(
        made.create_network(network_flags(trt, typed=False)), "network for its ONNX parser"
    )
    data = onnx.data if isinstance(onnx, OnnxModel) else onnx
    config = configure(options)
    allow_precision(trt, config, options.precision)
    with _parsed(trt, network, data):
        model = onnx if isinstance(onnx, OnnxModel) else _described(data, network)
        dynamic = {x.name: partial(_shape, x) for x in model.inputs if not x.is_static}
        add_profile(made, config, dynamic, model.symbols)
        cache = BuildCache.of_timings(options, trt.__version__, require_gpu(options.gpu))
        with cache.timings(config):
            plan = serialize(network, config, device=options.gpu, progress=options.progress)
    return _engine(plan, model, network, options)


def run_onnxruntime(onnx: bytes, args: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs of an ONNX file, in its order, for its inputs in order; computed on the CPU.

    Errors: UnavailableError without onnxruntime; BuildError, RunError where it refuses.
    """
    return _run_session(_session(onnx), args)


@contextmanager
def _parsed(trt: Any, network: Any, data: bytes) -> Iterator[None]:
    """Parse a file into a network, and keep the parser, whose memory TensorRT reads, alive."""
    from trtdsl.runtime.logger import tensorrt_logger

    parser = trt.OnnxParser(network, tensorrt_logger())
    if not parser.parse(data):
        errors = [_parser_error(parser.get_error(i), data) for i in range(parser.num_errors)]
        said = "\n  ".join(errors) or "no reason was given"
        raise BuildError(f"TensorRT's ONNX parser refuses the model:\n  {said}")
    yield


def _parser_error(error: Any, data: bytes) -> str:
    """``Einsum '/attn/Einsum' (node 12): no such operator [importer.cpp:88, importEinsum]``."""
    if hasattr(error, "node_name"):
        operator, name = error.node_operator(), error.node_name()
    else:  # TensorRT 8.6 only has the number
        operator, name = _node(data, error.node())
    place = f"{error.file()}:{error.line()}, {error.func()}"
    return f"{operator} {name!r} (node {error.node()}): {error.desc()} [{place}]"


def _node(data: bytes, index: int) -> tuple[str, str]:
    try:
        import onnx
    except ImportError:
        return "operator", ""
    nodes = onnx.load_from_string(data).graph.node
    return (nodes[index].op_type, nodes[index].name) if 0 <= index < len(nodes) else ("file", "")


def _num_nodes(data: bytes) -> int | None:
    try:
        import onnx
    except ImportError:
        return None
    graph = onnx.load_from_string(data).graph
    return sum(1 for node in graph.node if node.op_type not in ("Constant", "Identity"))


def _described(data: bytes, network: Any) -> OnnxModel:
    """A file of unknown origin: its inputs by position, its output or a tuple of them."""
    inputs = tuple(_spec(network.get_input(i)) for i in range(network.num_inputs))
    outputs = tuple(_spec(network.get_output(i)) for i in range(network.num_outputs))
    for spec in inputs:
        if not spec.is_static:
            raise BuildError(
                explain(
                    f"input {spec} of the ONNX file has open sizes, and their ranges are unknown",
                    fix="build from OnnxModel.of(model, inputs, dynamic_shapes=...)",
                )
            )
    args = tuple(Placeholder(i) for i in range(len(inputs)))
    results = tuple(Placeholder(i) for i in range(len(outputs)))
    return OnnxModel(
        data=data,
        inputs=inputs,
        outputs=outputs,
        input_tree=flatten((args, {}))[1],
        output_tree=flatten(results[0] if len(results) == 1 else results)[1],
        parameters=tuple(spec.name for spec in inputs),
        symbols={},
    )


def _spec(tensor: Any) -> TensorSpec:
    shape = tuple(size if size >= 0 else UNKNOWN for size in tensor.shape)
    dtype = dtype_of(tensor.dtype)
    return TensorSpec(name=tensor.name, dtype=dtype, engine_dtype=dtype, shape=shape)


def _shape(spec: TensorSpec, sizes: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(d if isinstance(d, int) else evaluate(d, sizes) for d in spec.shape)


def _engine(plan: bytes, model: OnnxModel, network: Any, options: BuildOptions) -> Engine:
    import trtdsl
    from trtdsl.engine import Engine
    from trtdsl.runtime.device import require_gpu

    gpu = require_gpu(options.gpu)
    # TensorRT's own types: 8.6 parses int64 as int32.
    own = {spec.name: spec for spec in _io(network)}
    manifest = Manifest(
        inputs=tuple(_typed(spec, own, spec.shape) for spec in model.inputs),
        outputs=tuple(_typed(spec, own, own[spec.name].shape) for spec in model.outputs),
        input_tree=model.input_tree,
        output_tree=model.output_tree,
        parameters=model.parameters,
        symbols=model.symbols,
        profiles=(model.symbols,),
        precision=options.precision or "as exported",
        tensorrt=import_tensorrt().__version__,
        compute_capability=gpu.compute_capability,
        device=gpu.name,
        sha256=hashlib.sha256(plan).hexdigest(),
        size=len(plan),
        trtdsl=trtdsl.__version__,
    )
    return Engine(plan, manifest, device=options.gpu)


def _io(network: Any) -> Iterator[TensorSpec]:
    yield from (_spec(network.get_input(i)) for i in range(network.num_inputs))
    yield from (_spec(network.get_output(i)) for i in range(network.num_outputs))


def _typed(
    spec: TensorSpec, own: Mapping[str, TensorSpec], shape: tuple[int | str, ...]
) -> TensorSpec:
    if spec.name not in own:
        raise BuildError(f"TensorRT's ONNX parser dropped {spec}; it has {', '.join(own)}")
    dtype = own[spec.name].engine_dtype
    return TensorSpec(name=spec.name, dtype=spec.dtype, engine_dtype=dtype, shape=shape)


class _OnnxRuntime:
    """An exported module in onnxruntime, called as the module is."""

    def __init__(self, model: OnnxModel) -> None:
        self._session = _session(model.data)
        self._signature = Signature.of(model)
        self._output_tree = model.output_tree

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._signature.bind(args, kwargs)
        self._signature.check(leaves)
        return self._output_tree.unflatten(_run_session(self._session, leaves))


def _session(data: bytes) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UnavailableError(
            explain(f"onnxruntime cannot be imported: {error}", fix="pip install 'trtdsl[onnx]'")
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # each of its errors has a class of its own, and no common base
        raise BuildError(f"onnxruntime refuses the ONNX file: {error}") from error


def _run_session(session: Any, leaves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    import torch

    names = [x.name for x in session.get_inputs()]
    if len(names) != len(leaves):
        raise RunError(f"the ONNX file takes {len(names)} inputs, and got {len(leaves)}")
    half = [x for x in leaves if x.dtype is torch.bfloat16]
    if half:
        raise ConversionError("onnxruntime is given inputs through numpy, which has no bfloat16")
    arrays = {n: x.detach().cpu().numpy() for n, x in zip(names, leaves, strict=True)}
    try:
        return [torch.from_numpy(y) for y in session.run(None, arrays)]
    except Exception as error:
        raise RunError(f"onnxruntime refuses to run: {error}") from error
