"""What numpy and TensorRT call the same numbers: dtypes, and int64 where TensorRT has int32."""

from __future__ import annotations

from typing import Any

import numpy as np

from trtdsl.errors import RunError, explain
from trtdsl.manifest import TensorSpec
from trtdsl.types import DType

__all__ = ["check_int32", "narrow", "numpy_dtype"]


def narrow(array: np.ndarray[Any, Any], spec: TensorSpec) -> np.ndarray[Any, Any]:
    """An int64 or int8 array as the int32 that the engine takes, where it does; else unchanged.

    Errors: RunError when a value does not fit; the check reads the whole array.
    """
    if spec.dtype is spec.engine_dtype:
        return array
    if array.size and array.dtype == np.int64:
        check_int32(spec.name, int(array.min()), int(array.max()))
    return array.astype(np.int32)


def check_int32(name: str, low: int, high: int) -> None:
    """Errors: RunError when an int64 input's values, ``low`` to ``high``, do not fit int32."""
    limits = np.iinfo(np.int32)
    if low < limits.min or high > limits.max:
        raise RunError(
            explain(
                f"input {name} holds values from {low} to {high}, and this TensorRT has int32 "
                f"only: {limits.min} to {limits.max}",
                fix="give smaller values, or build the engine with TensorRT 10 or newer",
            )
        )


def numpy_dtype(dtype: DType, name: str) -> np.dtype[Any]:
    """The numpy dtype of an input or output. Errors: RunError for bfloat16 without ml_dtypes."""
    if dtype is not DType.BFLOAT16:
        standard: np.dtype[Any] = np.dtype(dtype.value)
        return standard
    try:
        import ml_dtypes
    except ImportError:
        raise RunError(
            explain(
                f"{name} is bfloat16, which numpy does not have",
                fix="pip install ml_dtypes, or call the engine with torch tensors",
            )
        ) from None
    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16
