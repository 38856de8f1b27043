"""What operators give, where PyTorch tells torch.export nothing or something else.

Of fake quantizations of sizes that vary 2.13 has no kernels for tensors without values; where sizes
are known it runs real ones. Of ``unique`` 2.11 says that places and counts have the input's dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_impls import op_implementations_dict

__all__ = ["registered"]

_OPERATORS = (
    "fake_quantize_per_tensor_affine_cachemask",
    "fake_quantize_per_channel_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
)
_UNIQUE = ("_unique2", "unique_consecutive", "unique_dim")
_LIBRARY = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]


def _values_and_mask(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


def _counting(told: Callable[..., Any]) -> Callable[..., Any]:
    """The values as they are told, places and counts of int64."""

    @wraps(told)
    def counted(*args: Any, **kwargs: Any) -> Any:
        values, *numbers = told(*args, **kwargs)
        return values, *(x.new_empty(x.shape, dtype=torch.int64) for x in numbers)

    return counted


def registered() -> None:
    """Register what is missing, once."""
    for name in _OPERATORS:
        if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "Meta"):
            _LIBRARY.impl(name, _values_and_mask, "Meta")  # type: ignore[no-untyped-call]
    for name in _UNIQUE:
        operator = getattr(torch.ops.aten, name).default
        told = op_implementations_dict.get(operator)
        if told is not None and not hasattr(told, "__wrapped__"):
            op_implementations_dict[operator] = _counting(told)
