"""trtdsl: PyTorch modules to TensorRT engines, without ONNX, through a small Python DSL.

    engine = trtdsl.convert(model, (x,))
    y = engine(x)

Importing trtdsl imports neither torch nor tensorrt; the names below bring what they need with them.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if find_spec("trtdsl.layers") is None:
    raise ImportError(
        "trtdsl is imported from its checkout, where its converters are not part of the package; "
        "install it: pip install -e ."
    )

if TYPE_CHECKING:
    from trtdsl.binding import plugin
    from trtdsl.cache import CacheWarning
    from trtdsl.comparison import compare
    from trtdsl.conversion import ReferenceWarning, check, convert, trace
    from trtdsl.engine import Engine, load
    from trtdsl.errors import (
        BuildError,
        ConversionError,
        LoadError,
        RunError,
        ShapeError,
        TrtdslError,
        UnavailableError,
        UnsupportedError,
    )
    from trtdsl.export.paths import SizeOneWarning
    from trtdsl.export.unchecked import UncheckedWarning
    from trtdsl.extension.ahead_of_time import PythonNeededWarning
    from trtdsl.extension.buffer import Buffer
    from trtdsl.extension.launch import Launch
    from trtdsl.extension.tensor_map import TensorMap
    from trtdsl.held import PrecisionWarning
    from trtdsl.ir.plugin import Plugin
    from trtdsl.network import Network, Tensor
    from trtdsl.parts.fallback import FallbackWarning
    from trtdsl.parts.hybrid import Hybrid
    from trtdsl.quantization import quantize
    from trtdsl.reference import Reference
    from trtdsl.registry import converter
    from trtdsl.types import DType

__version__ = "0.1.0"

_HOME = {
    "Buffer": "extension.buffer",
    "BuildError": "errors",
    "CacheWarning": "cache",
    "ConversionError": "errors",
    "DType": "types",
    "Engine": "engine",
    "FallbackWarning": "parts.fallback",
    "Hybrid": "parts.hybrid",
    "Launch": "extension.launch",
    "LoadError": "errors",
    "Network": "network",
    "Plugin": "ir.plugin",
    "PrecisionWarning": "held",
    "PythonNeededWarning": "extension.ahead_of_time",
    "Reference": "reference",
    "ReferenceWarning": "conversion",
    "RunError": "errors",
    "ShapeError": "errors",
    "SizeOneWarning": "export.paths",
    "Tensor": "network",
    "TensorMap": "extension.tensor_map",
    "TrtdslError": "errors",
    "UnavailableError": "errors",
    "UncheckedWarning": "export.unchecked",
    "UnsupportedError": "errors",
    "check": "conversion",
    "compare": "comparison",
    "convert": "conversion",
    "converter": "registry",
    "load": "engine",
    "plugin": "binding",
    "quantize": "quantization",
    "trace": "conversion",
}

__all__ = [
    "Buffer",
    "BuildError",
    "CacheWarning",
    "ConversionError",
    "DType",
    "Engine",
    "FallbackWarning",
    "Hybrid",
    "Launch",
    "LoadError",
    "Network",
    "Plugin",
    "PrecisionWarning",
    "PythonNeededWarning",
    "Reference",
    "ReferenceWarning",
    "RunError",
    "ShapeError",
    "SizeOneWarning",
    "Tensor",
    "TensorMap",
    "TrtdslError",
    "UnavailableError",
    "UncheckedWarning",
    "UnsupportedError",
    "check",
    "compare",
    "convert",
    "converter",
    "load",
    "plugin",
    "quantize",
    "trace",
]


_MODULES = ("layers", "oracle", "plugins", "runtime")
"""Public modules that ``import trtdsl`` leaves alone until they are asked for."""


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"trtdsl.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'trtdsl' has no attribute {name!r}")
    return getattr(import_module(f"trtdsl.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
