"""Where a model's source files keep things: globals, attributes of classes, defaults of arguments.

Its source files are those of its classes and, of the user's own files, those that they import from:
not what is installed, which a model shares with everybody.
"""

from __future__ import annotations

import functools
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

__all__ = ["is_theirs", "places", "sources"]

_NOT_THEIRS = ("torch", "trtdsl", "builtins")
_CONTAINERS = (dict, list, set)
_Remembering = functools._lru_cache_wrapper


def is_theirs(kind: type) -> bool:
    """Whether a class is of the model's authors, and none of PyTorch's, trtdsl's or Python's."""
    return _package(kind.__module__) not in _NOT_THEIRS


def places(model: nn.Module) -> Iterator[tuple[Any, str]]:
    """Globals, classes and default arguments of a model's source files, by name."""
    classes = {c: None for m in model.modules() for c in type(m).__mro__ if is_theirs(c)}
    for module in _reached(dict.fromkeys(c.__module__ for c in classes)):
        yield vars(module), module.__name__
        classes.update(dict.fromkeys(_own(module, type)) if _is_the_users(module) else {})
        for function in _own(module, FunctionType):
            yield from _defaults(function)
    for cls in classes:
        yield cls, cls.__qualname__
        for value in tuple(vars(cls).values()):
            if type(value) is FunctionType:
                yield from _defaults(value)


def sources(model: nn.Module) -> list[ModuleType]:
    """The files of a model's classes, and those of the same package that they get anything from."""
    names = {type(m).__module__ for m in model.modules()}
    found = {name: sys.modules[name] for name in names if name in sys.modules}
    for module in [m for name, m in found.items() if _package(name) not in _NOT_THEIRS]:
        for home in {_home(value) for value in tuple(vars(module).values())}:
            alike = _package(home) == _package(module.__name__)
            other = sys.modules.get(home)
            if other is not None and (alike or (_is_the_users(module) and _is_the_users(other))):
                found[home] = other
    return list(found.values())


def _package(name: str) -> str:
    return name.partition(".")[0]


def _reached(names: Iterable[str]) -> list[ModuleType]:
    """The modules of these names, and the user's own that they got anything from."""
    found = {name: sys.modules[name] for name in names if name in sys.modules}
    left = list(found.values())
    while left:
        module = left.pop()
        if not _is_the_users(module):
            continue
        for name in {_home(value) for value in tuple(vars(module).values())}:
            other = sys.modules.get(name)
            if other is not None and name not in found and _is_the_users(other):
                found[name] = other
                left.append(other)
    return list(found.values())


def _home(value: Any) -> str:
    """The module that a value is, or was written in; ``""`` for what does not say.

    Asked of its type alone: a value may stand for what is not there yet.
    """
    kind = type(value)
    if kind is ModuleType:
        return str(value.__name__)
    if kind is FunctionType or kind is _Remembering or issubclass(kind, type):
        return str(value.__module__)
    return ""


def _is_the_users(module: ModuleType) -> bool:
    if _package(module.__name__) in _NOT_THEIRS:
        return False
    file = getattr(module, "__file__", None)
    if file is None:
        return module.__name__ == "__main__"
    if str(file).startswith(tuple(f"{folder}/" for folder in _pythons())):
        return False
    return _package(module.__name__) not in _installed(tuple(sys.path))


@cache
def _pythons() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple(Path(paths[name]) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@cache
def _installed(path: tuple[str, ...]) -> frozenset[str]:
    """Modules that an installer put on the path elsewhere, as ``pip install --target`` does.

    The user's own may lie beside them.
    """
    folders = [Path(folder) for folder in path if Path(folder) not in _pythons()]
    records = (record for folder in folders for record in folder.glob("*.dist-info"))
    files = (file for record in records for file in metadata.Distribution.at(record).files or ())
    return frozenset(file.parts[0].removesuffix(".py") for file in files)


def _own(module: ModuleType, kind: type) -> list[Any]:
    """What of a kind a module defines itself."""
    values = tuple(vars(module).values())
    return [v for v in values if issubclass(type(v), kind) and v.__module__ == module.__name__]


def _defaults(function: FunctionType) -> Iterator[tuple[Any, str]]:
    given = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    for value in given:
        if type(value) in _CONTAINERS:
            yield value, f"a default argument of {function.__qualname__}"
