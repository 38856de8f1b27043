"""Behaviours of the value classes: Dims, Permutation, Weights, host memory, Logger."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .behaviour import behaves
from .errors import RefusedError
from .objects import StandInObject, where

_MAX_DIMS = 8
_DATA_TYPES = {
    "f4": "FLOAT",
    "f2": "HALF",
    "i8": "INT64",
    "i4": "INT32",
    "i1": "INT8",
    "b1": "BOOL",
    "u1": "UINT8",
}
"""numpy's dtypes and TensorRT's, as ``type(py::dtype)`` in the bindings' utils.cpp has them."""
ITEM_SIZES = {"FLOAT": 4, "BF16": 2, "HALF": 2, "INT64": 8, "INT32": 4, "INT8": 1, "BOOL": 1}
ITEM_SIZES |= {"UINT8": 1, "FP8": 1, "INT4": 0.5, "FP4": 0.5}


def _limit(self: StandInObject, length: int) -> None:
    exact = {"Dims2": 2, "DimsHW": 2, "Dims3": 3, "Dims4": 4}.get(type(self).__name__)
    if exact is not None and length != exact:
        raise RefusedError(f"{where(type(self), '__init__')}: {length} sizes, not {exact}")
    if length > _MAX_DIMS:
        raise RefusedError(f"{where(type(self), '__init__')}: {length} sizes, at most {_MAX_DIMS}")


@behaves("Dims.__init__")
def _dims(self: StandInObject, shape: Any = (), **sizes: int) -> None:
    values = [*sizes.values()] if sizes else [*shape]
    if values or type(self).__name__ == "Dims":
        _limit(self, len(values))
    self.state["items"] = [int(v) for v in values]


@behaves("Permutation.__init__")
def _permutation(self: StandInObject, arg0: Any = ()) -> None:
    _limit(self, len(arg0))
    self.state["items"] = [*arg0] + [0] * (_MAX_DIMS - len(arg0))


@behaves("Dims.__len__", "Permutation.__len__")
def _length(self: StandInObject) -> int:
    return len(self.state["items"])


@behaves("Dims.__getitem__", "Permutation.__getitem__")
def _item(self: StandInObject, arg0: int | slice) -> Any:
    found = self.state["items"][arg0]
    return tuple(found) if isinstance(arg0, slice) else found


@behaves("Dims.__setitem__", "Permutation.__setitem__")
def _put_item(self: StandInObject, arg0: int | slice, arg1: Any) -> None:
    self.state["items"][arg0] = arg1


@behaves("Dims.__eq__")
def _equal(self: StandInObject, arg0: Any) -> bool:
    return self.state["items"] == [*arg0]


@behaves("Dims.__str__", "Dims.__repr__", "Permutation.__str__", "Permutation.__repr__")
def _text(self: StandInObject) -> str:
    return str(tuple(self.state["items"]))


@behaves("Dims.MAX_DIMS.get")
def _max_dims(self: StandInObject) -> int:
    return _MAX_DIMS


@behaves("Weights.__init__")
def _weights(
    self: StandInObject, a: Any = None, type: Any = None, ptr: int = 0, count: int = 0
) -> None:
    if a is None:
        self.state |= {"dtype": type, "size": count, "array": None, "ptr": ptr}
        return
    label = f"{where(self.__class__, '__init__')}: ndarray of {a.dtype}"
    if not a.flags.c_contiguous:
        raise RefusedError(f"{label} is not contiguous")
    # The bindings compare dtypes by identity, so one of another byte order is refused as well.
    names = [name for code, name in _DATA_TYPES.items() if a.dtype is np.dtype(code)]
    kind = self.release.module.DataType
    if not names or names[0] not in kind.__members__:
        raise RefusedError(f"{label}: TensorRT has no such type")
    self.state |= {
        "dtype": getattr(kind, names[0]),
        "size": a.size,
        "array": a,
        "ptr": a.ctypes.data,
    }


@behaves("Weights.nbytes.get")
def _nbytes(self: StandInObject) -> int:
    return int(self.state["size"] * ITEM_SIZES[self.state["dtype"].name])


@behaves("Weights.__len__")
def _count(self: StandInObject) -> int:
    return self.state["size"]


@behaves("Weights.numpy")
def _numpy(self: StandInObject) -> Any:
    array = self.state["array"]
    return self if array is None else array.reshape(-1)


@behaves("IHostMemory.nbytes.get")
def _memory_size(self: Any) -> int:
    return bytes.__len__(self)


@behaves("IHostMemory.dtype.get")
def _memory_type(self: Any) -> Any:
    return self.release.module.DataType.INT8


@behaves("Logger.log", "ILogger.log")
def _log(self: StandInObject, severity: Any, msg: str) -> None:
    self.state.setdefault("messages", []).append((severity, msg))


@behaves("StandInObject.__enter__")
def _enter(self: StandInObject) -> StandInObject:
    warnings.warn("Context managers for TensorRT types are deprecated.", DeprecationWarning, 3)
    return self


@behaves("StandInObject.__exit__")
def _exit(self: StandInObject, **_: Any) -> None:
    return None
