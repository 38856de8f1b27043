"""``int(x)`` and ``float(x)`` of sizes, and of tensors, while a module is exported: symbolic.

Python's own have to give a number, so that ``int(0.5 * x.shape[2])`` fixes the size at the
example's.
"""

from __future__ import annotations

import builtins
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import nn

from trtdsl.export.source_files import sources

__all__ = ["rounds_sizes", "symbolic_integers", "symbolic_numbers"]

_SYMBOLIC = (torch.SymInt, torch.SymFloat)
_IDENTITY = re.compile(r"\bis (not )?(int|float)\b")


class _Number(type):
    """The class of the stand-ins, which are the built-in classes to whoever compares them."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        own, symbolic = _STANDS_FOR[cls.__name__]
        value = args[0] if args else None
        if isinstance(value, torch.Tensor) and torch.compiler.is_exporting():
            value = (value.long() if own is builtins.int else value).item()
        return symbolic(value) if isinstance(value, _SYMBOLIC) else own(*args, **kwargs)

    def __instancecheck__(cls, value: Any) -> bool:
        return isinstance(value, _STANDS_FOR[cls.__name__][0])

    def __subclasscheck__(cls, other: type) -> bool:
        return issubclass(other, _STANDS_FOR[cls.__name__][0])

    def __eq__(cls, other: object) -> bool:
        return other in (_STANDS_FOR[cls.__name__][0],) or super().__eq__(other)

    def __hash__(cls) -> int:
        return hash(_STANDS_FOR[cls.__name__][0])


class _Int(builtins.int, metaclass=_Number):
    """Stands for ``int``."""


class _Float(builtins.float, metaclass=_Number):
    """Stands for ``float``."""


_STANDS_FOR: dict[str, Any] = {
    "_Int": (builtins.int, torch.sym_int),
    "_Float": (builtins.float, torch.sym_float),
}


@contextmanager
def symbolic_numbers(model: nn.Module) -> Iterator[None]:
    """Inside, in the model's source files, numbers made of sizes stay symbolic.

    Files with an ``int`` or ``float`` of their own, or that ask whether a type is one of them, keep
    Python's.
    """
    files = [f for f in sources(model) if _allows(f)]
    try:
        for file in files:
            vars(file).update(int=_Int, float=_Float)
        yield
    finally:
        for file in files:
            del file.int, file.float


@contextmanager
def symbolic_integers(file: ModuleType) -> Iterator[None]:
    """Inside, ``int(size)`` stays symbolic in one file of PyTorch's own."""
    vars(file)["int"] = _Int
    try:
        yield
    finally:
        del vars(file)["int"]


def _allows(file: ModuleType) -> bool:
    if file.__name__.startswith("torch.") or hasattr(file, "int") or hasattr(file, "float"):
        return False
    try:
        return not _IDENTITY.search(inspect.getsource(file))
    except (OSError, TypeError):  # typed in at a prompt
        return False


def rounds_sizes(program: torch.export.ExportedProgram) -> bool:
    """Whether a graph rests on what a number made of sizes was rounded to in Python.

    torch.export does not refuse that of a Dim that is a multiple of another.
    """
    for node in program.graph.nodes:
        env = getattr(getattr(node.meta.get("val"), "fake_mode", None), "shape_env", None)
        if env is not None:
            return any("ToInt(" in str(guard.expr) for guard in env.guards)
    return False
