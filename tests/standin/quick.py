"""``tensorrt.plugin``: plugins registered by decorators, their sizes as expressions, their kernels.

The descriptions list the functions, classes and methods. What they cannot list is here as the
Python sources of the package have it, which are alike from release 10.9 to 11.1 (python/packaging/
bindings_wheel/tensorrt/plugin of https://github.com/NVIDIA/TensorRT): the operators of sizes, none
of them with an int on the left; the attributes of KernelLaunchParams; what a signature must say.
"""

from __future__ import annotations

import inspect
import operator
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from .behaviour import behaves
from .errors import MissingNameError, RefusedError
from .network import add_layer
from .objects import StandInObject, where

_BUILT_IN = (int, float, bytes, bool, str)
_RESERVED = {"", "trt", "tensorrt", "std"}
_LAUNCH = ("grid_x", "grid_y", "grid_z", "block_x", "block_y", "block_z", "shared_mem")
_SIZE = ("SymInt32", "ShapeExpr")


@dataclass
class Definition:
    """A registered plugin: its decorated functions, by what TensorRT calls them for."""

    release: Any
    name: str
    describe: Callable[..., Any]
    tensors: list[str]
    attributes: dict[str, Any]
    num_outputs: int
    aot: Callable[..., Any] | None = None

    def __call__(self, *tensors: Any, **attributes: Any) -> Callable[[Any], Any]:
        label = f"TensorRT {self.release.version}: tensorrt.plugin.op.{self.name}"
        kinds = [type(t).__name__ for t in tensors]
        if kinds != ["ITensor"] * len(self.tensors) or attributes.keys() != self.attributes.keys():
            raise RefusedError(f"{label} takes {self.tensors} and {self.attributes}, not {kinds}")

        def made(request: Any) -> Any:
            if request.name == "STRICT_AOT" and self.aot is None:
                raise RefusedError(f"{label} has no aot_impl")
            plugin = self.release.new("IPluginV3")
            plugin.state |= {"num_outputs": self.num_outputs, "definition": self}
            return list(tensors), [], plugin

        return made


class Namespaces(types.ModuleType):
    """``tensorrt.plugin.op``, and in it the namespaces of plugins."""

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{self.__name__} has no attribute {name!r}")


@behaves("INetworkDefinition.add_plugin")
def _add_plugin(self: StandInObject, func: Any, aot: bool | None = None) -> Any:
    requests = type(self).release.kind("QuickPluginCreationRequest")
    name = {True: "STRICT_AOT", False: "STRICT_JIT", None: "UNKNOWN"}[aot]
    inputs, _, plugin = func(getattr(requests, name))
    layer = type(self).release.kind("IPluginV3Layer")
    return add_layer(self, layer, {"inputs": inputs, "plugin": plugin})


def complete(kinds: Mapping[str, Any]) -> None:
    """Give the classes what their description cannot list."""
    size = kinds.get("SymInt32", kinds["ShapeExpr"])  # before 10.9 there is no SymInt32
    for name, symbol in (("add", "+"), ("sub", "-"), ("mul", "*"), ("floordiv", "//")):
        setattr(size, f"__{name}__", _operator(symbol))
    exprs = kinds.get("SymExprs", kinds["ShapeExprs"])
    exprs.__setitem__, exprs.__getitem__, exprs.__len__ = _put, _item, _length
    if "KernelLaunchParams" in kinds:
        for name in _LAUNCH:
            setattr(kinds["KernelLaunchParams"], name, property(*_accessors(name)))


def _operator(symbol: str) -> Any:
    def method(self: StandInObject, other: Any) -> Any:
        return _operation(self, other, f"({{}} {symbol} {{}})")

    return method


def _put(self: StandInObject, index: int, value: Any) -> None:
    if isinstance(value, int):
        raise RefusedError(f"{where(type(self), '__setitem__')}: {value} is no SymInt32")
    self.state["items"][index] = value


def _item(self: StandInObject, index: int) -> Any:
    return self.state["items"][index]


def _length(self: StandInObject) -> int:
    return len(self.state["items"])


def _accessors(name: str) -> tuple[Any, Any]:
    def get(self: StandInObject) -> Any:
        return self.state[name]

    def put(self: StandInObject, value: Any) -> None:
        _require_size(self, name, value)
        self.state[name] = value

    return get, put


def _require_size(owner: StandInObject, name: str, value: Any) -> None:
    if not isinstance(value, int) and type(value).__name__ not in _SIZE:
        raise RefusedError(f"{where(type(owner), name)} refuses {value!r}")


@behaves("SymInt32.__init__", "ShapeExpr.__init__")
def _size(self: StandInObject, value: Any = None) -> None:
    if value is not None:
        _require_size(self, "__init__", value)
    self.state["value"] = value if value is None or isinstance(value, int) else value.state["value"]


@behaves("ShapeExpr.is_fake.get")
def _is_fake(self: StandInObject) -> bool:
    return self.state["value"] is None


@behaves("SymExprs.__init__", "SymIntExprs.__init__", "ShapeExprs.__init__")
def _sizes(self: StandInObject, length: int, **_: Any) -> None:
    self.state["items"] = [None] * length


@behaves("KernelLaunchParams.__init__")
def _launch_params(self: StandInObject, **sizes: Any) -> None:
    for name, value in sizes.items():
        setattr(self, name, value)


@behaves("TensorDesc.__init__")
def _desc(self: StandInObject, **given: Any) -> None:
    self.state |= given | {"alias": None}


@behaves("TensorDesc.aliased")
def _aliased(self: StandInObject) -> Any:
    made = type(self)(self.shape_expr, self.dtype)
    made.state["alias"] = self
    return made


def _operation(x: Any, y: Any, text: str) -> Any:
    made = (x if isinstance(y, int) else y).__class__
    values = [v if isinstance(v, int) else v.state["value"] for v in (x, y)]
    result = made()
    result.state["value"] = None if None in values else text.format(*values)
    return result


def _named(name: str, module: Any, first: Any, second: Any) -> Any:
    if isinstance(first, int) and isinstance(second, int):
        raise RefusedError(f"tensorrt.plugin.{name}: both arguments are ints")
    return _operation(first, second, f"{name}({{}}, {{}})")


def _from_shape_expr(module: Any, shape_expr: Any, dtype: Any) -> Any:
    given = shape_expr if isinstance(shape_expr, tuple) else tuple(shape_expr)
    sizes = module.ShapeExprs(len(given))
    sizes.state["items"] = [module.ShapeExpr(x) if isinstance(x, int) else x for x in given]
    return module.TensorDesc(sizes, dtype)


def _register(module: Any, plugin_id: str, lazy_register: bool) -> Any:
    namespace, name = plugin_id.split("::")
    if namespace in _RESERVED or "." in plugin_id:
        raise RefusedError(f"tensorrt.plugin.register refuses the name {plugin_id}")

    def decorator(function: Any) -> Any:
        home = module.op.__dict__.setdefault(namespace, Namespaces(f"tensorrt.plugin.op.{name}"))
        if name in home.__dict__:
            raise RefusedError(f"tensorrt.plugin.register: {plugin_id} is defined already")
        tensors, attributes = _parameters(module, function)
        setattr(
            home,
            name,
            Definition(
                release=module.release,
                name=plugin_id,
                describe=function,
                tensors=tensors,
                attributes=attributes,
                num_outputs=_outputs(module, inspect.signature(function).return_annotation),
            ),
        )
        return function

    return decorator


def _parameters(module: Any, function: Any) -> tuple[list[str], dict[str, Any]]:
    tensors: list[str] = []
    attributes: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if not named or parameter.default is not parameter.empty or not isinstance(kind, type):
            raise RefusedError(f"tensorrt.plugin.register refuses the parameter {parameter}")
        if issubclass(kind, module.TensorDesc) and not attributes:
            tensors.append(name)
        elif tensors and kind in _BUILT_IN and name not in ("outputs", "stream", "tactic"):
            attributes[name] = kind
        else:
            raise RefusedError(f"tensorrt.plugin.register refuses the parameter {parameter}")
    return tensors, attributes


def _outputs(module: Any, gives: Any) -> int:
    kinds = typing.get_args(gives) if typing.get_origin(gives) is tuple else (gives,)
    if not all(isinstance(k, type) and issubclass(k, module.TensorDesc) for k in kinds):
        raise RefusedError(f"tensorrt.plugin.register refuses the result {gives}")
    return len(kinds)


def _aot_impl(module: Any, plugin_id: str) -> Any:
    definition: Definition = operator.attrgetter(plugin_id.replace("::", "."))(module.op)

    def decorator(function: Any) -> Any:
        signature = inspect.signature(function)
        wanted = [*definition.tensors, *definition.attributes, "outputs", "tactic"]
        if list(signature.parameters) != wanted:
            raise RefusedError(f"tensorrt.plugin.aot_impl takes ({', '.join(wanted)})")
        gives = typing.get_args(signature.return_annotation)
        right = len(gives) == 4 and all(g in (str, bytes) for g in gives[:2])
        if not right or gives[2:] != (module.KernelLaunchParams, module.SymIntExprs):
            raise RefusedError(f"tensorrt.plugin.aot_impl refuses the result {gives}")
        definition.aot = function
        return function

    return decorator


FUNCTIONS = {
    "register": _register,
    "aot_impl": _aot_impl,
    "cdiv": partial(_named, "cdiv"),
    "max": partial(_named, "max"),
    "min": partial(_named, "min"),
    "from_shape_expr": _from_shape_expr,
}


@dataclass
class Kernel:
    """What an engine would keep of an ahead-of-time plugin: sizes as Python writes them."""

    name: str
    code: str
    shapes: list[list[int | str]]
    dtypes: list[str]
    aliases: list[int]
    launch: dict[str, int | str]
    arguments: list[int | str]


def built(plugin: Any, inputs: Sequence[tuple[str, Sequence[int | str]]]) -> Kernel:
    """Ask a plugin as the builder does: output types, then shapes, then kernel and launch.

    ``inputs`` are data types by name and sizes, ``"n"`` being one that is not known yet.
    """
    definition: Definition = plugin.state["definition"]
    module = definition.release.module.plugin
    if definition.aot is None:
        raise MissingNameError(f"{definition.name} has no aot_impl")
    fakes = [_described(module, kind, [None] * len(sizes)) for kind, sizes in inputs]
    dtypes = [y.dtype.name for y in _tuple(definition.describe(*fakes))]
    given = [_described(module, kind, sizes) for kind, sizes in inputs]
    outputs = _tuple(definition.describe(*given))
    name, code, params, numbers = definition.aot(*given, list(outputs), None)
    for number in numbers.state["items"]:
        if type(number).__name__ not in _SIZE:
            raise RefusedError(f"extra arguments are SymInt32, not {number!r}")
    return Kernel(
        name=name,
        code=code,
        shapes=[[s.state["value"] for s in y.shape_expr.state["items"]] for y in outputs],
        dtypes=dtypes,
        aliases=[_index(given, y.state["alias"]) for y in outputs],
        launch={n: _value(getattr(params, n)) for n in _LAUNCH},
        arguments=[_value(n) for n in numbers.state["items"]],
    )


def _described(module: Any, kind: str, sizes: Sequence[Any]) -> Any:
    expressions = []
    for size in sizes:
        made = module.ShapeExpr()
        made.state["value"] = size
        expressions.append(made)
    dtype = getattr(module.release.module.DataType, kind)
    return _from_shape_expr(module, tuple(expressions), dtype)


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _index(given: Sequence[Any], alias: Any) -> int:
    return next((i for i, x in enumerate(given) if x is alias), -1)


def _value(size: Any) -> int | str:
    value: int | str = size if isinstance(size, int) else size.state["value"]
    return value
