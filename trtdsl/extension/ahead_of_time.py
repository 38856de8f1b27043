"""Plugins whose kernel the engine holds, so that it needs neither Python nor the plugin's class.

TensorRT 10.9 and later take a kernel as PTX, with its grid and arguments as expressions of sizes:
``tensorrt.plugin.register`` and ``aot_impl``, and ``INetworkDefinition.add_plugin(..., aot=True)``.
A plugin is registered under a name that its attributes, types and kernel decide; it has no
attributes of its own there, and the engine would not keep them.

Nothing here was seen running: the calls are held against the API of each release.
Source: https://docs.nvidia.com/deeplearning/tensorrt/latest/_static/python-api/infer/tensorrt.plugin.
"""

from __future__ import annotations

import hashlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError
from trtdsl.extension.failures import note
from trtdsl.extension.instance import Instance, in_place
from trtdsl.extension.launch import architecture
from trtdsl.extension.nvrtc import compile_ptx
from trtdsl.extension.size_expressions import write
from trtdsl.extension.symbolic_launch import NotSymbolicError, SymbolicLaunch, symbolic_launch
from trtdsl.ir.plugin import Plugin
from trtdsl.tensorrt_api import data_type, has_ahead_of_time
from trtdsl.types import Dim, TensorType

if TYPE_CHECKING:
    from trtdsl.network import Operation
    from trtdsl.tensorrt_api import Api

__all__ = ["Embedded", "PythonNeededWarning", "add", "embedded", "planned"]

_NAMESPACE = "trtdsl"


class PythonNeededWarning(UserWarning):
    """An engine needs the class of a plugin that asked to be compiled ahead of time."""


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A plugin that an engine can hold whole: its tensors, their places and its launch.

    ``places`` tells, for each symbol in the sizes, the input and axis that has it, and the size
    that this axis has by it.
    """

    instance: Instance
    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]
    launch: SymbolicLaunch
    places: Mapping[Any, tuple[int, int, Dim]]


def planned(api: Api, operation: Operation) -> Embedded:
    """How an engine can hold the plugin of an operation.

    Errors: NotSymbolicError says why it cannot.
    """
    plugin = operation.layer
    assert isinstance(plugin, Plugin)
    if not has_ahead_of_time(api.trt):
        version = api.trt.__version__
        raise NotSymbolicError(f"TensorRT {version} holds no kernels of plugins, 10.9 and later do")
    if in_place(plugin, operation) != dict(plugin.aliases):
        raise NotSymbolicError("something else reads an input that it overwrites")
    inputs = tuple(x.type.with_dtype(api.physical(x.dtype)) for x in operation.inputs)
    outputs = tuple(x.type.with_dtype(api.physical(x.dtype)) for x in operation.outputs)
    launch = symbolic_launch(plugin, inputs, outputs, operation.outputs[0].network.symbols)
    dims = [d for t in outputs for d in t.shape]
    dims += [*launch.grid, *launch.block, launch.shared, *launch.sizes]
    return Embedded(
        instance=Instance(
            plugin=plugin,
            inputs=tuple(t.dtype for t in inputs),
            outputs=tuple(t.dtype for t in outputs),
        ),
        inputs=inputs,
        outputs=outputs,
        launch=launch,
        places={s: _place(s, inputs) for s in sorted(_symbols(dims), key=str)},
    )


def embedded(api: Api, operation: Operation) -> bool:
    """Whether an engine holds the plugin of an operation, and so needs no class for it."""
    layer = operation.layer
    if not isinstance(layer, Plugin) or not layer.ahead_of_time:
        return False
    try:
        planned(api, operation)
    except NotSymbolicError:
        return False
    return True


def add(api: Api, operation: Operation, tensors: Sequence[Any]) -> Any:
    """The layer of a plugin that the engine holds; None, with PythonNeededWarning, where it cannot.

    Errors: BuildError where the kernel does not compile, or TensorRT refuses it.
    """
    try:
        plan = planned(api, operation)
    except NotSymbolicError as error:
        what = f"{operation.name}: the engine needs Python for plugin {operation.layer.kind}: "
        warnings.warn(f"{what}{error} ({operation.source})", PythonNeededWarning, stacklevel=2)
        return None
    made = _definition(api.trt, plan, api.architecture or architecture())(*tensors)

    def kept(request: Any) -> Any:
        result = made(request)
        api.plugins.append(result)
        return result

    return api.add_plugin(kept, aot=True)


def _symbols(dims: Sequence[Dim]) -> set[Any]:
    return {s for d in dims if not isinstance(d, int) for s in d.free_symbols}


def _place(symbol: Any, inputs: Sequence[TensorType]) -> tuple[int, int, Dim]:
    """Where the size of a symbol can be read: an axis that is it, or a multiple of it and more."""
    found = [
        (i, axis, d)
        for i, t in enumerate(inputs)
        for axis, d in enumerate(t.shape)
        if not isinstance(d, int) and d.free_symbols == {symbol} and _slope(d) is not None
    ]
    if not found:
        raise NotSymbolicError(f"the size {symbol} is none of its inputs'")
    return min(found, key=lambda place: not place[2].is_Symbol)


def _slope(size: Any) -> tuple[int, int] | None:
    """``a`` and ``b`` of a size ``a * n + b`` of whole numbers; None of any other."""
    (symbol,) = size.free_symbols
    polynomial = size.as_poly(symbol)
    if polynomial is None or polynomial.degree() != 1:
        return None
    a, b = polynomial.all_coeffs()
    return (int(a), int(b)) if a.is_Integer and b.is_Integer and a > 0 else None


def _definition(trt: Any, plan: Embedded, target: str) -> Any:
    """What ``tensorrt.plugin`` keeps of a plugin: a call with ITensors gives what adds a layer."""
    trtp = import_module(f"{trt.__name__}.plugin")
    instance = plan.instance
    ptx = compile_ptx(
        plan.launch.source, target, instance.plugin.defines(*instance.inputs, *instance.outputs)
    )
    told = repr((instance.to_bytes(), plan.inputs, plan.outputs, plan.launch, ptx))
    name = f"{instance.name}_{hashlib.sha256(told.encode()).hexdigest()[:16]}"
    if not hasattr(trtp.op, _NAMESPACE) or not hasattr(trtp.op.trtdsl, name):
        _register(trt, trtp, name, plan, ptx)
    return getattr(trtp.op.trtdsl, name)


def _register(trt: Any, trtp: Any, name: str, plan: Embedded, ptx: str) -> None:
    """Tell TensorRT the shapes of a plugin's outputs, its kernel and its launch."""

    def describe(*inputs: Any) -> Any:
        size = _Sizes(trtp, plan, inputs).size
        return tuple(
            inputs[plan.instance.plugin.aliases[i]].aliased()
            if i in plan.instance.plugin.aliases
            else trtp.from_shape_expr(tuple(map(size, t.shape)), data_type(trt, t.dtype))
            for i, t in enumerate(plan.outputs)
        )

    def implement(*given: Any) -> Any:
        *inputs, _, _ = given  # behind them the outputs and the tactic, of which there is one
        size = _Sizes(trtp, plan, inputs).size
        params = trtp.KernelLaunchParams()
        params.grid_x, params.grid_y, params.grid_z = map(size, plan.launch.grid)
        params.block_x, params.block_y, params.block_z = map(size, plan.launch.block)
        params.shared_mem = size(plan.launch.shared)
        numbers = trtp.SymIntExprs(len(plan.launch.sizes))
        for i, number in enumerate(plan.launch.sizes):
            numbers[i] = trtp.SymInt32(size(number))
        return plan.launch.kernel, ptx, params, numbers

    identity = f"{_NAMESPACE}::{name}"
    inputs = {f"x{i}": trtp.TensorDesc for i in range(len(plan.inputs))}
    outputs: Any = tuple.__class_getitem__((trtp.TensorDesc,) * len(plan.outputs))
    gives = tuple[str, str, trtp.KernelLaunchParams, trtp.SymIntExprs]
    more = {"outputs": outputs, "tactic": int}
    label = plan.instance.name
    trtp.register(identity)(_signed(describe, label, inputs, outputs))
    trtp.aot_impl(identity)(_signed(implement, label, inputs | more, gives))


def _signed(
    function: Callable[..., Any], label: str, takes: Mapping[str, Any], gives: Any
) -> Callable[..., Any]:
    """A function whose signature says what TensorRT wants to read there; what it raises is kept."""

    @wraps(function)
    def signed(*args: Any) -> Any:
        try:
            return function(*args)
        except BaseException as error:
            note(label, error)
            raise

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(n, kind, annotation=t) for n, t in takes.items()]
    signed.__signature__ = inspect.Signature(parameters, return_annotation=gives)  # type: ignore[attr-defined]
    return signed


class _Sizes:
    """Sizes as TensorRT's expressions, for the inputs that a callback of its got."""

    def __init__(self, trtp: Any, plan: Embedded, inputs: Sequence[Any]) -> None:
        self.trtp = trtp
        self.known: dict[Any, Any] = {}
        for symbol, (i, axis, size) in plan.places.items():
            measured = inputs[i].shape_expr[axis]
            a, b = _slope(size) or (1, 0)
            if b:
                measured = measured - b
            if a != 1:
                measured = measured // a
            self.known[symbol] = measured

    def size(self, size: Dim) -> Any:
        return write(size, self.known, self.trtp.ShapeExpr, partial(_operation, self.trtp))


def _operation(trtp: Any, name: str, x: Any, y: Any) -> Any:
    match name:
        case "SUM":
            return x + y
        case "PROD":
            return x * y
        case "FLOOR_DIV":
            return x // y
        case "CEIL_DIV":
            return trtp.cdiv(x, y)
        case "MAX":
            return trtp.max(x, y)
        case "MIN":
            return trtp.min(x, y)
    raise BuildError(f"tensorrt.plugin has no {name} of sizes")
