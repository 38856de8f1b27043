"""Plugins of TensorRT's own library, or of a user's: layers made by a creator in C++."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from trtdsl.errors import BuildError, UnavailableError, explain
from trtdsl.ir.base import Layer
from trtdsl.tensorrt_api import has_python_plugins, plugin_creator
from trtdsl.types import TensorType

if TYPE_CHECKING:
    from trtdsl.tensorrt_api import Api

__all__ = ["LibraryPlugin", "creator", "find_creator", "load_library"]

Types: TypeAlias = TensorType | tuple[TensorType, ...]

_NUMPY = {
    "FLOAT16": "f2",
    "FLOAT32": "f4",
    "FLOAT64": "f8",
    "INT8": "i1",
    "INT16": "i2",
    "INT32": "i4",
    "INT64": "i8",
}
"""Of PluginFieldType; CHAR is text."""

HANDLES = ("cublas", "cudnn")
"""The libraries whose handles TensorRT has for plugins."""


def creator(
    name: str,
    *,
    outputs: Types | Callable[..., Types],
    version: str = "1",
    namespace: str = "",
    reference: Callable[..., Any] | None = None,
    handles: Collection[str] = HANDLES,
    **fields: bool | int | float | str | Sequence[int] | Sequence[float],
) -> LibraryPlugin:
    """A layer that a plugin creator makes: ``creator("EfficientNMS_TRT", ...)(boxes, scores)``.

    Inputs:
        outputs: TensorTypes, or a function of the inputs' TensorTypes that gives them. What
            TensorRT infers is held against them.
        reference: the same in PyTorch, for ``Network.evaluate``.
        handles: of "cublas" and "cudnn", what the plugin is to be handed, which TensorRT 8 then has
            to find; EfficientNMS_TRT for one needs neither.
        fields: the creator's fields; names and types are held against its declaration when the
            network is built. Where that names no type, ints are INT32, floats FLOAT32, text CHAR.
    Errors: ValueError for a handle that TensorRT does not have.
    Source: IPluginRegistry; the library's plugins, https://github.com/NVIDIA/TensorRT/plugin.
    """
    if unknown := set(handles) - set(HANDLES):
        raise ValueError(f"handles are of {HANDLES}, not {sorted(unknown)}")
    given = tuple(
        (key, tuple(value) if isinstance(value, list | tuple) else value)
        for key, value in fields.items()
    )
    return LibraryPlugin(
        name=name,
        version=version,
        namespace=namespace,
        given=given,
        gives=outputs,
        reference=reference,
        handles=frozenset(handles),
    )


def load_library(path: str | os.PathLike[str]) -> None:
    """Load a shared library of plugins, before a network with them is built or an engine loaded.

    Errors: UnavailableError without TensorRT; BuildError when it cannot be loaded.
    """
    from trtdsl.tensorrt_api import import_tensorrt

    trt = import_tensorrt()
    if not os.path.exists(path):
        raise BuildError(f"there is no library {os.fspath(path)}")
    if trt.get_plugin_registry().load_library(os.fspath(path)) is None:
        raise BuildError(f"TensorRT cannot load plugins from {os.fspath(path)}")


@dataclass(frozen=True, kw_only=True)
class LibraryPlugin(Layer):
    """A plugin in C++ that is known by name, version and namespace."""

    name: str
    version: str
    namespace: str
    given: tuple[tuple[str, Any], ...]
    gives: Types | Callable[..., Types]
    reference: Callable[..., Any] | None = None
    handles: frozenset[str] = frozenset(HANDLES)

    def infer(self, *inputs: TensorType) -> Types:
        return self.gives(*inputs) if callable(self.gives) else self.gives

    def evaluate(self, *inputs: Any) -> Any:
        if self.reference is None:
            raise UnavailableError(
                explain(
                    f"plugin {self.name} is of a library, which only TensorRT runs",
                    fix="give creator() a reference= in PyTorch",
                )
            )
        return self.reference(*inputs)

    def lower(self, api: Api, *inputs: Any) -> Any:
        trt = api.trt
        found = find_creator(trt, self.name, self.version, self.namespace)
        if found is None:
            raise BuildError(
                explain(
                    f"TensorRT {trt.__version__} has no plugin {self.name}, version {self.version}",
                    fix="trtdsl.plugins.load_library(path) of the library that has it",
                )
            )
        fields = self._fields(trt, found)
        collection = trt.PluginFieldCollection(fields)
        tensors = [api.tensor(x) for x in inputs]
        api.plugins.extend(fields)
        if has_python_plugins(trt) and isinstance(found, trt.IPluginCreatorV3One):
            made = found.create_plugin(self.name, collection, trt.TensorRTPhase.BUILD)
            return api.add_plugin_v3(tensors, [], self._made(made))
        return api.add_plugin_v2(tensors, self._made(found.create_plugin(self.name, collection)))

    def _made(self, plugin: Any) -> Any:
        if plugin is None:
            raise BuildError(f"plugin {self.name} refuses the fields {dict(self.given)}")
        return plugin

    def _fields(self, trt: Any, found: Any) -> list[Any]:
        """The given fields as the creator declares them."""
        listed = found.field_names
        declared = {listed[i].name: listed[i].type for i in range(len(listed))}
        fields = []
        for name, value in self.given:
            if name not in declared:
                raise BuildError(
                    explain(
                        f"plugin {self.name}, version {self.version}, has no field {name!r}",
                        fix="it has " + ", ".join(f"{n} ({t.name})" for n, t in declared.items()),
                    )
                )
            kind = declared[name].name
            kind = _kind_of(value) if kind == "UNKNOWN" else kind
            data = _data(f"field {name} of plugin {self.name}", value, kind)
            fields.append(trt.PluginField(name, data, getattr(trt.PluginFieldType, kind)))
        return fields


def find_creator(trt: Any, name: str, version: str, namespace: str) -> Any:
    """The creator of a plugin in TensorRT's library, or one that has been loaded; else None."""
    _load_own(trt)
    registry = trt.get_plugin_registry()
    return plugin_creator(registry, name, version, namespace)


@cache
def _load_own(trt: Any) -> None:
    from trtdsl.runtime.logger import tensorrt_logger

    if not trt.init_libnvinfer_plugins(tensorrt_logger(), ""):
        raise BuildError("TensorRT cannot load its library of plugins, libnvinfer_plugin")


def _kind_of(value: Any) -> str:
    """What a value is where the creator leaves it open, as many of TensorRT's own do."""
    if isinstance(value, str):
        return "CHAR"
    values = value if isinstance(value, tuple) else (value,)
    return "FLOAT32" if any(isinstance(v, float) for v in values) else "INT32"


def _data(what: str, value: Any, kind: str) -> Any:
    """A field's value as memory of its type. Errors: BuildError for a value of another type."""
    import numpy as np

    if kind == "CHAR":
        if not isinstance(value, str):
            raise BuildError(f"{what} is text, not {value!r}")
        return np.frombuffer(value.encode() + b"\0", dtype=np.int8).copy()
    if kind not in _NUMPY:
        raise BuildError(f"{what} is of PluginFieldType.{kind}, which trtdsl does not fill in")
    values = value if isinstance(value, tuple) else (value,)
    whole = kind.startswith("INT")
    right = all(isinstance(v, int if whole else int | float) for v in values)
    if not right:
        raise BuildError(f"{what} is {kind}, not {value!r}")
    try:
        return np.array([int(v) if whole else v for v in values], dtype=_NUMPY[kind])
    except OverflowError as error:
        raise BuildError(f"{what} is {kind}, which cannot hold {value!r}") from error
