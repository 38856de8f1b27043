"""What fake quantizations give of sizes that vary, which PyTorch (2.13) does not tell torch.export.

It has no kernels of theirs for tensors without values; where sizes are known it runs real ones.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["registered"]

_OPERATORS = (
    "fake_quantize_per_tensor_affine_cachemask",
    "fake_quantize_per_channel_affine_cachemask",
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams",
)
_LIBRARY = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]


def _values_and_mask(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), torch.empty_like(x, dtype=torch.bool)


def registered() -> None:
    """Register what is missing, once."""
    for name in _OPERATORS:
        if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "Meta"):
            _LIBRARY.impl(name, _values_and_mask, "Meta")  # type: ignore[no-untyped-call]
