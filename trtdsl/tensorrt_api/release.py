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
    "has_python_plugins",
    "is_strongly_typed",
    "network_flags",
    "refits_one_by_one",
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


def network_flags(trt: Any) -> int:
    """The flags of a new network: explicit batch and strongly typed, where the release has them."""
    known = trt.NetworkDefinitionCreationFlag
    names = ("EXPLICIT_BATCH", "STRONGLY_TYPED")
    return sum(1 << int(getattr(known, name)) for name in names if hasattr(known, name))


def is_strongly_typed(trt: Any) -> bool:
    """Whether this release builds each layer in the types that the network says, without flags."""
    return hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")


def has_python_plugins(trt: Any) -> bool:
    """Whether Python may subclass plugins (10.0 and later)."""
    return hasattr(trt, "IPluginV3")


def has_ahead_of_time(trt: Any) -> bool:
    """Whether this release (10.9 and later) holds kernels of plugins in its engines."""
    return hasattr(trt, "QuickPluginCreationRequest")


def has_aliases(trt: Any) -> bool:
    """Whether a plugin's output may be the memory of an input (10.3 and later)."""
    return hasattr(trt, "IPluginV3OneBuildV2")


def refits_one_by_one(trt: Any) -> bool:
    """Whether this release (10.1 and later) can keep all weights but marked ones as they are."""
    return hasattr(trt.BuilderFlag, "REFIT_INDIVIDUAL")
