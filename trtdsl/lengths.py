"""``len(x)`` of a tensor while a module is exported: a symbolic size, not the example's number."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

__all__ = ["symbolic_lengths"]


@contextmanager
def symbolic_lengths(model: nn.Module) -> Iterator[None]:
    """Inside, in the source files of the module's classes, ``len(x)`` is ``x.shape[0]``.

    Python's own ``len`` has to be a number. Files with a ``len`` of their own keep it.
    """
    names = {type(m).__module__ for m in model.modules()}
    files = [sys.modules[name] for name in names if name in sys.modules]
    places = [f for f in files if not f.__name__.startswith("torch.") and not hasattr(f, "len")]
    try:
        for file in places:
            setattr(file, "len", _length)  # noqa: B010 - it is no attribute of a module's type
        yield
    finally:
        for file in places:
            vars(file).pop("len", None)


def _length(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dim():
        return value.shape[0]
    return builtins.len(value)
