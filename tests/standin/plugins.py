"""Behaviours of plugins: fields, sizes as expressions, and a registry for each release."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from .behaviour import behaves
from .errors import RefusedError
from .objects import StandInObject, where

_CREATORS: dict[str, list[Any]] = defaultdict(list)
"""The creators that were registered, by release."""
_SYMBOLS = {"SUM": "+", "PROD": "*", "SUB": "-", "FLOOR_DIV": "//"}


@behaves("PluginField.__init__")
def _field(self: StandInObject, name: str = "", data: Any = None, type: Any = None) -> None:
    self.state |= {
        "name": name,
        "data": data,
        "type": type,
        "size": 0 if data is None else len(data),
    }


@behaves("PluginFieldCollection.__init__", "DimsExprs.__init__")
def _list(self: StandInObject, arg0: Any = ()) -> None:
    self.state["items"] = list(arg0)


@behaves("PluginFieldCollection.__len__", "DimsExprs.__len__")
def _length(self: StandInObject) -> int:
    return len(self.state["items"])


@behaves("PluginFieldCollection.__getitem__", "DimsExprs.__getitem__")
def _item(self: StandInObject, arg0: Any) -> Any:
    return self.state["items"][arg0]


@behaves("PluginFieldCollection.__iter__")
def _iterate(self: StandInObject) -> Iterator[Any]:
    return iter(self.state["items"])


@behaves("IDimensionExpr.is_constant")
def _is_constant(self: StandInObject) -> bool:
    return isinstance(self.state["value"], int)


@behaves("IDimensionExpr.get_constant_value")
def _constant_value(self: StandInObject) -> int:
    if not isinstance(self.state["value"], int):
        raise RefusedError(f"{where(type(self), 'get_constant_value')}: it is no constant")
    return self.state["value"]


def size(release: Any, value: int | str) -> StandInObject:
    """An IDimensionExpr: a constant, or an expression as Python writes it."""
    made: StandInObject = release.new("IDimensionExpr")
    made.state["value"] = value
    return made


@behaves("IExprBuilder.constant")
def _constant(self: StandInObject, arg0: int) -> StandInObject:
    return size(type(self).release, arg0)


@behaves("IExprBuilder.operation")
def _operation(self: StandInObject, arg0: Any, arg1: Any, arg2: Any) -> StandInObject:
    x, y = arg1.state["value"], arg2.state["value"]
    symbol = _SYMBOLS.get(arg0.name)
    text = f"({x} {symbol} {y})" if symbol else f"{arg0.name.lower()}({x}, {y})"
    return size(type(self).release, text)


@behaves("IPluginRegistry.register_creator")
def _register(self: StandInObject, creator: Any, plugin_namespace: str = "") -> bool:
    known = _CREATORS[type(self).release.version]
    if any(_key(c) == _key(creator) for c in known):
        return False
    known.append(creator)
    return True


@behaves("IPluginRegistry.get_creator", "IPluginRegistry.get_plugin_creator")
def _find(self: StandInObject, type: str, version: str, plugin_namespace: str = "") -> Any:
    known = _CREATORS[self.release.version]
    return next((c for c in known if _key(c) == (type, version)), None)


@behaves("IPluginRegistry.all_creators.get", "IPluginRegistry.plugin_creator_list.get")
def _all(self: StandInObject) -> list[Any]:
    return list(_CREATORS[type(self).release.version])


@behaves("IPluginRegistry.load_library")
def _load(self: StandInObject, plugin_path: str) -> Any:
    return object()


def _key(creator: Any) -> tuple[str, str]:
    return creator.name, creator.plugin_version
