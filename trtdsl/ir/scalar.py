"""Tensors of rank 0 in layers that TensorRT defines from rank 1 on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trtdsl.tensorrt_api import Api

__all__ = ["raised"]


def raised(api: Api, x: Any, add: Callable[[Any], Any]) -> Any:
    """What ``add`` makes of x, an elementwise layer; one of rank 0 goes through it as rank 1."""
    if len(x.shape) > 0:
        return add(x)
    vector = api.add_shuffle(x)
    vector.reshape_dims = (1,)
    scalar = api.add_shuffle(add(vector.get_output(0)).get_output(0))
    scalar.reshape_dims = ()
    return scalar
