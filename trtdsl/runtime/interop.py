"""Arrays of other libraries, taken as they are: ``__dlpack__`` and ``__cuda_array_interface__``.

Source: https://dmlc.github.io/dlpack/latest/python_spec.html and
https://numba.readthedocs.io/en/stable/cuda/cuda_array_interface.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trtdsl.errors import RunError, UnavailableError, explain
from trtdsl.runtime.cuda import Event, context_of
from trtdsl.runtime.device import primary_context, primary_handle
from trtdsl.tree import Leaf

__all__ = ["adopt", "is_foreign", "refuse_foreign"]

_ON_CPU = (1, 3)  # kDLCPU, kDLCUDAHost


def adopt(leaves: Sequence[Leaf], device: int) -> list[Leaf]:
    """The inputs of a call with other libraries' arrays as torch tensors, or as numpy arrays.

    Nothing is copied. What was queued on a stream that the array names is waited for on torch's
    current stream. Errors: RunError for memory of another CUDA context; UnavailableError without
    torch, which then stands for the outputs.
    """
    return [_adopted(leaf, device) for leaf in leaves]


def refuse_foreign(tensors: Sequence[Any], primary: int) -> None:
    """Errors: RunError for a torch tensor whose memory lies in another context than ``primary``."""
    for x in tensors:
        if x.is_cuda and context_of(x.data_ptr()) not in (None, primary):
            raise RunError(
                explain(
                    f"an input of shape {tuple(x.shape)} lies in another CUDA context than the "
                    "device's primary one, where TensorRT and torch work",
                    fix="import pycuda.autoprimaryctx instead of pycuda.autoinit",
                )
            )


def is_foreign(leaf: Leaf) -> bool:
    """Whether an input is neither a numpy array nor a torch tensor."""
    return not isinstance(leaf, np.ndarray) and not hasattr(leaf, "data_ptr")


def _adopted(leaf: Leaf, device: int) -> Leaf:
    if not is_foreign(leaf):
        return leaf
    if hasattr(leaf, "__dlpack_device__"):
        if leaf.__dlpack_device__()[0] in _ON_CPU:
            return np.from_dlpack(leaf)
        return _torch().from_dlpack(leaf)  # it orders the streams itself
    if hasattr(leaf, "__cuda_array_interface__"):
        return _from_interface(leaf, device)
    return leaf


def _from_interface(leaf: Any, device: int) -> Any:
    torch = _torch()
    with torch.cuda.device(device), primary_context(device):
        stream = leaf.__cuda_array_interface__.get("stream")
        if stream is not None:
            event = Event(device)
            event.record(stream)
            event.hold(torch.cuda.current_stream(device).cuda_stream)
        x = torch.as_tensor(leaf, device=f"cuda:{device}")
    refuse_foreign([x], primary_handle(device))
    return x


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise UnavailableError(
            explain(
                f"arrays on a GPU are served as torch tensors, and torch is missing: {error}",
                fix="pip install torch, or give numpy arrays",
            )
        ) from error
    return torch
