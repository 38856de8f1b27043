"""Every exception that trtdsl raises on purpose.

    TrtdslError
    |-- ConversionError      the PyTorch side: capture, converters, what a network may hold
    |   |-- UnsupportedError     operators without a converter, all of them at once
    |   `-- ShapeError           a layer refuses the shapes, dtypes or attributes it was given
    |-- BuildError           the TensorRT side: lowering a network, building an engine
    |-- LoadError            an engine file that is damaged, foreign or made for another machine
    |-- RunError             a call whose inputs do not fit the engine
    `-- UnavailableError     TensorRT, a GPU or an optional package is not here

Each message says what is wrong with both values, the layer or operator, the user's own file and
line where there is one, and the fix.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BuildError",
    "ConversionError",
    "LoadError",
    "RunError",
    "ShapeError",
    "TrtdslError",
    "UnavailableError",
    "UnsupportedError",
    "explain",
]


class TrtdslError(Exception):
    """The base of every error that trtdsl raises on purpose."""


class ConversionError(TrtdslError):
    """A PyTorch module, or one of its operators, cannot become a network."""

    node: Any = None
    """The node of the captured graph whose converter refused its arguments, where one did."""


class UnsupportedError(ConversionError):
    """Operators have no converter; the message lists all of them, with their places and the fix."""


class ShapeError(ConversionError):
    """A layer refuses the shapes, dtypes or attributes that it was given."""


class BuildError(TrtdslError):
    """TensorRT refused a layer or the whole network; the message carries TensorRT's own words.

    Or what was built answers otherwise than PyTorch, where ``convert`` was asked to verify it.
    """


class LoadError(TrtdslError):
    """An engine file is damaged, foreign, or made for another TensorRT or GPU."""


class RunError(TrtdslError):
    """A call's inputs do not fit what the engine was built for."""


class UnavailableError(TrtdslError):
    """TensorRT, an NVIDIA GPU or an optional package is missing on this machine."""


def explain(what: str, *, at: str | None = None, fix: str | None = None) -> str:
    """Lay out an error message: what is wrong, then where, then how to fix it."""
    lines = [what]
    if at:
        lines.append(f"  at:  {at}")
    if fix:
        lines.append(f"  fix: {fix}")
    return "\n".join(lines)
