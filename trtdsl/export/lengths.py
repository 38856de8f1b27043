"""``len(x)`` and ``math.sqrt(size)`` while a module is exported: symbolic, no example's number."""

from __future__ import annotations

import builtins
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from trtdsl.export.source_files import sources

__all__ = ["symbolic_lengths"]

_plain_sqrt = math.sqrt


@contextmanager
def symbolic_lengths(model: nn.Module) -> Iterator[None]:
    """Inside, in the model's source files, ``len(x)`` is ``x.shape[0]``.

    Python's own ``len`` has to be a number. Files with a ``len`` of their own keep it. The square
    root of a symbolic size is ``torch.sym_sqrt``'s, for everyone who takes it from ``math``.
    """
    files = (f for f in sources(model) if not f.__name__.startswith("torch."))
    places = [f for f in files if not hasattr(f, "len")]
    try:
        for file in places:
            setattr(file, "len", _length)  # noqa: B010 - it is no attribute of a module's type
        math.sqrt = _sqrt
        yield
    finally:
        math.sqrt = _plain_sqrt
        for file in places:
            vars(file).pop("len", None)


def _sqrt(value: Any, /) -> Any:
    symbolic = isinstance(value, torch.SymInt | torch.SymFloat)
    return torch.sym_sqrt(value) if symbolic else _plain_sqrt(value)


def _length(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dim():
        return value.shape[0]
    return builtins.len(value)
