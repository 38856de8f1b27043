"""Layers and small tensors as JSON, for the recipes of weights; only trtdsl's own layers."""

from __future__ import annotations

import base64
import importlib
from dataclasses import fields
from enum import Enum
from typing import TYPE_CHECKING, Any

from trtdsl.ir.base import Layer
from trtdsl.ir.constant import raw_bytes

if TYPE_CHECKING:
    import torch

__all__ = ["is_known", "layer_from_json", "layer_to_json", "tensor_from_json", "tensor_to_json"]

_HOMES = ("trtdsl.ir.", "trtdsl.types")
"""Where the classes are that a recipe may name: a manifest must not import anything else."""


def is_known(layer: Layer) -> bool:
    """Whether a recipe can name a layer: it is trtdsl's own, of attributes that JSON can hold."""
    if not type(layer).__module__.startswith(_HOMES[0]):
        return False
    try:
        return bool(layer_to_json(layer))
    except TypeError:
        return False


def layer_to_json(layer: Layer) -> dict[str, Any]:
    """A layer's class and attributes. Errors: TypeError for an attribute that JSON cannot hold."""
    names = [f.name for f in fields(layer)]  # type: ignore[arg-type]
    return {
        "layer": _name(type(layer)),
        "attributes": {name: _to_json(getattr(layer, name)) for name in names},
    }


def layer_from_json(obj: Any) -> Layer:
    """The layer that ``layer_to_json`` wrote. Errors: ValueError, KeyError, TypeError."""
    cls = _class(obj["layer"])
    if not issubclass(cls, Layer):
        raise ValueError(f"{obj['layer']} is no layer")
    layer: Layer = cls(**{name: _from_json(v) for name, v in obj["attributes"].items()})
    return layer


def tensor_to_json(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor's dtype, shape and bytes."""
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "data": base64.b64encode(raw_bytes(tensor).tobytes()).decode("ascii"),
    }


def tensor_from_json(obj: Any) -> torch.Tensor:
    """The tensor that ``tensor_to_json`` wrote. Errors: ValueError, KeyError, TypeError."""
    import torch

    dtype = getattr(torch, str(obj["dtype"]), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{obj['dtype']!r} is no dtype")
    data = bytearray(base64.b64decode(obj["data"], validate=True))
    if not data:
        return torch.empty(obj["shape"], dtype=dtype)
    try:
        return torch.frombuffer(data, dtype=dtype).reshape(obj["shape"])
    except RuntimeError as error:
        raise ValueError(f"a value of {len(data)} bytes: {error}") from error


def _to_json(value: Any) -> Any:
    if isinstance(value, Enum):
        return {"enum": [_name(type(value)), value.name]}
    if isinstance(value, float):
        return {"float": value.hex()}
    if isinstance(value, tuple | list):
        return [_to_json(v) for v in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if getattr(value, "is_Integer", False):
        return int(value)
    raise TypeError(f"{value!r} has no form in JSON")


def _from_json(obj: Any) -> Any:
    if isinstance(obj, list):
        return tuple(_from_json(v) for v in obj)
    if not isinstance(obj, dict):
        return obj
    if "float" in obj:
        return float.fromhex(obj["float"])
    place, name = obj["enum"]
    cls = _class(place)
    if not issubclass(cls, Enum):
        raise ValueError(f"{place} is no enumeration")
    return cls[name]


def _name(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _class(place: str) -> type:
    module, _, name = place.partition(":")
    if not module.startswith(_HOMES):
        raise ValueError(f"{place} is none of trtdsl's layers")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise ValueError(f"{place} is none of this trtdsl's layers") from error
    if not isinstance(found, type):
        raise ValueError(f"{place} is none of this trtdsl's layers")
    return found
