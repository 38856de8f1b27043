"""What a release has: data types, flags and features, asked of the ``tensorrt`` module itself."""

from __future__ import annotations

from typing import Any

from trtdsl.errors import BuildError
from trtdsl.types import DType

__all__ = [
    "NAMES",
    "data_type",
    "dtype_of",
    "has_ahead_of_time",
    "has_aliases",
    "has_progress_monitor",
    "has_python_plugins",
    "is_strongly_typed",
    "network_flags",
    "plugin_creator",
    "refits_one_by_one",
    "version_number",
]

NAMES = {
    DType.FLOAT32: "FLOAT",
    DType.FLOAT16: "HALF",
    DType.BFLOAT16: "BF16",
    DType.INT64: "INT64",
    DType.INT32: "INT32",
    DType.INT8: "INT8",
    DType.UINT8: "UINT8",
    DType.BOOL: "BOOL",
}
"""TensorRT's names of dtypes."""


def dtype_of(trt_dtype: Any) -> DType:
    """The DType of a ``tensorrt.DataType``. Errors: BuildError for one that DType has not."""
    for dtype, name in NAMES.items():
        if trt_dtype.name == name:
            return dtype
    raise BuildError(f"TensorRT's data type {trt_dtype.name} has no counterpart in trtdsl")


def data_type(trt: Any, dtype: DType) -> Any:
    """The ``tensorrt.DataType`` of a dtype that the release has."""
    return getattr(trt.DataType, NAMES[dtype])


def network_flags(trt: Any, *, typed: bool = True) -> int:
    """The flags of a new network: explicit batch and, if ``typed``, strongly typed.

    A flag that the release has not is left out: TensorRT 11 knows no other networks.
    """
    known = trt.NetworkDefinitionCreationFlag
    names = ("EXPLICIT_BATCH", *(["STRONGLY_TYPED"] if typed else []))
    return sum(1 << int(getattr(known, name)) for name in names if hasattr(known, name))


def is_strongly_typed(trt: Any) -> bool:
    """Whether this release builds each layer in the types that the network says, without flags."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def has_python_plugins(trt: Any) -> bool:
    """Whether Python may subclass plugins (10.0 and later)."""
    return hasattr(trt, "IPluginV3")


def has_progress_monitor(trt: Any) -> bool:
    """Whether a build tells how far it is, and can be stopped (10.0 and later)."""
    return hasattr(trt, "IProgressMonitor")


def has_ahead_of_time(trt: Any) -> bool:
    """Whether this release (10.9 and later) holds kernels of plugins in its engines."""
    return hasattr(trt, "QuickPluginCreationRequest")


def has_aliases(trt: Any) -> bool:
    """Whether a plugin's output may be the memory of an input (10.3 and later)."""
    return hasattr(trt, "IPluginV3OneBuildV2")


def refits_one_by_one(trt: Any) -> bool:
    """Whether this release (10.1 and later) can keep all weights but marked ones as they are."""
    return hasattr(trt.BuilderFlag, "REFIT_INDIVIDUAL")


def version_number(trt: Any) -> int:
    """The release as C++ counts it, 8601 for 8.6.1. Source: NV_TENSORRT_VERSION of TensorRT 8."""
    major, minor, patch = (int(part) for part in trt.__version__.split(".")[:3])
    return major * 1000 + minor * 100 + patch


def plugin_creator(registry: Any, name: str, version: str, namespace: str) -> Any:
    """The creator of a plugin in an IPluginRegistry, or None."""
    # get_creator came with 10.0, and get_plugin_creator went with TensorRT 11.
    new = hasattr(type(registry), "get_creator")
    find = registry.get_creator if new else registry.get_plugin_creator
    return find(name, version, namespace)
