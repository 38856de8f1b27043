"""Views that PyTorch copies, under the names that functional graphs give them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.ir.slice import SampleMode, section
from trtdsl.network import Tensor
from trtdsl.registry import converter
from trtdsl.types import Dim, is_static

from .indexing import narrow
from .padding import padded

__all__: list[str] = []

aten = torch.ops.aten


@converter(aten.view_copy.default, aten._reshape_copy.default)
def view_copy(x: Tensor, size: Sequence[Dim]) -> Tensor:
    """x in the shape ``size``, of which one entry may be -1."""
    return x.reshape(*size)


@converter(aten.permute_copy.default)
def permute_copy(x: Tensor, dims: Sequence[int]) -> Tensor:
    """x with its axes in the order ``dims``."""
    return x.permute(*dims)


@converter(aten.narrow_copy.default)
def narrow_copy(x: Tensor, dim: int, start: Dim, length: Dim) -> Tensor:
    """``length`` elements along ``dim`` from ``start`` on."""
    return narrow(x, dim, start, length)


@converter(aten._pad_circular.default)
def _pad_circular(x: Tensor, pad: Sequence[Dim]) -> Tensor:
    """x repeated around itself."""
    return padded(x, pad, SampleMode.WRAP)


@converter(aten.resize.default)
def resize(x: Tensor, size: Sequence[Dim], *, memory_format: Any = None) -> Tensor:
    """The first elements of x laid flat, in another shape; 0 where PyTorch leaves new ones open."""
    if not is_static((*x.shape, *size)):
        raise ConversionError(
            explain(
                f"resize of {x} to {list(size)}: whether it grows is not known",
                fix="use view, or slice and pad",
            )
        )
    have, want = math.prod(x.shape), math.prod(size)
    flat = x.reshape(have)
    flat = (
        section(flat, 0, 0, want)
        if want <= have
        else padded(flat, [0, want - have], SampleMode.FILL)
    )
    return flat.reshape(*size)
