"""A release of TensorRT, read from its description, and the module made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from . import builder, network, plugins, quick, refitting, values  # noqa: F401  (they register the behaviours)
from .convert import normal
from .enums import EnumType, make_enum
from .errors import MissingNameError
from .objects import StandInObject, StandInType, call, make_class
from .signatures import parse

FOLDER = Path(__file__).parents[1] / "data" / "tensorrt_api"
_MEMBER = re.compile(r"^<(\w+)\.(\w+): \d+>$")
_NUMPY = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


class StandInModule(ModuleType):
    """``tensorrt``, or ``tensorrt.plugin``, of one release."""

    is_standin = True
    __version__: str
    release: Release
    op: Any

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise MissingNameError(f"TensorRT {self.__version__}: {self.__name__} has no {name}")


class _HostMemory(bytes):
    """IHostMemory gives its bytes through the buffer protocol only."""

    def __len__(self) -> int:
        raise MissingNameError("IHostMemory has no len(); it has nbytes")


class Release:
    """One release: its classes and enumerations by name, and the module that holds them."""

    def __init__(self, version: str) -> None:
        self.data = json.loads((FOLDER / f"{version}.json").read_text())
        self.version: str = self.data["version"]
        self.major = int(self.version.partition(".")[0])
        self._kinds: dict[str, Any] = {}
        for name, members in self.data["enum_values"].items():
            self._kinds[name] = make_enum(self.version, name, members)
        self._make_classes(self.data["classes"], self._kinds)

    def _make_classes(self, specs: Mapping[str, Any], kinds: dict[str, Any]) -> None:
        """Make the classes, bases first; a base that is not listed is left out."""

        def make(name: str) -> Any:
            if name not in kinds:
                bases = [make(b) for b in specs[name]["bases"] if b in specs]
                extra = (_HostMemory,) if name == "IHostMemory" else ()
                bases = [*extra, *(bases or [StandInObject])]
                kinds[name] = make_class(self, name, specs[name], tuple(bases))
            return kinds[name]

        for name in specs:
            make(name)

    def kind(self, name: str) -> Any:
        """The class or enumeration of a name, None where Python has none for it."""
        return self._kinds.get(name)

    def new(self, name: str) -> Any:
        """An object that only TensorRT makes: no constructor runs."""
        made = self._kinds[name].__new__(self._kinds[name])
        made.__dict__["_ready"] = True
        return made

    def memory(self, content: bytes) -> Any:
        """An IHostMemory that holds ``content``."""
        made = bytes.__new__(self._kinds["IHostMemory"], content)
        made.__dict__.update(calls=[], state={}, _ready=True)
        return made

    @cached_property
    def module(self) -> StandInModule:
        """The module that code under test imports as ``tensorrt``."""
        module = StandInModule("tensorrt", f"Stand-in for TensorRT {self.version}.")
        module.__version__ = self.version
        for name, kind in self._kinds.items():
            outer, _, inner = name.rpartition(".")
            setattr(self._kinds[outer] if outer else module, inner, kind)
        for name, texts in self.data["functions"].items():
            setattr(module, name, self._function(name, texts))
        self._export_severities(module)
        module.DataType.itemsize = property(lambda self: values.ITEM_SIZES.get(self.name))
        for name, text in self.data["values"].items():
            setattr(module, name, self._value(text))
        if self.data["plugin_module"]:
            module.plugin = self._plugin_module(self.data["plugin_module"])
        return module

    def _export_severities(self, module: Any) -> None:
        severity = self._kinds["ILogger.Severity"]
        module.Logger.Severity = severity
        for name, member in severity.__members__.items():
            setattr(module.ILogger, name, member)

    def _value(self, text: str) -> Any:
        """A module value: ``<DataType.FLOAT: 0>`` or ``alias of .InterpolationMode``."""
        if member := _MEMBER.match(text):
            return getattr(self._kinds[member[1]], member[2])
        return self._kinds[text.rpartition(".")[2]]

    def _function(self, name: str, texts: list[str], behave: Any = None) -> Any:
        overloads = [parse(t) for t in texts]

        def function(*args: Any, **kwargs: Any) -> Any:
            signature, arguments = call(self, name, overloads, args, kwargs)
            if behave is not None:
                return behave(*arguments.values())
            if name in _FUNCTIONS:
                return _FUNCTIONS[name](self, *arguments.values())
            returns = normal(signature.returns)
            if returns == "function":
                return lambda decorated: decorated
            raise MissingNameError(f"TensorRT {self.version}: the stand-in has no {name}()")

        return function

    def _plugin_module(self, data: Mapping[str, Any]) -> StandInModule:
        module = StandInModule("tensorrt.plugin")
        module.__version__ = self.version
        kinds: dict[str, Any] = {}
        self._make_classes(data["classes"], kinds)
        for name, kind in kinds.items():
            setattr(module, name, kind)
        quick.complete(kinds)
        module.release = self
        module.op = quick.Namespaces("tensorrt.plugin.op")
        for name, texts in data["functions"].items():
            behave = quick.FUNCTIONS.get(name)
            known = None if behave is None else partial(behave, module)
            setattr(module, name, self._function(name, texts, known))
        return module


def _volume(release: Release, iterable: Any) -> int:
    return int(np.prod(list(iterable), dtype=np.int64))


def _nptype(release: Release, trt_type: Any) -> Any:
    kind = release.module.DataType
    if not isinstance(kind, EnumType) or not isinstance(trt_type, kind):
        raise TypeError(f"{trt_type!r} is no tensorrt.DataType")
    if trt_type.name not in _NUMPY:
        raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
    return _NUMPY[trt_type.name]


def _registry(release: Release, *_: Any) -> StandInObject:
    registry = release.new("IPluginRegistry")
    assert isinstance(type(registry), StandInType)
    return registry


_FUNCTIONS = {
    "volume": _volume,
    "nptype": _nptype,
    "get_plugin_registry": _registry,
    "get_builder_plugin_registry": _registry,
    "init_libnvinfer_plugins": lambda release, *_: True,
}
