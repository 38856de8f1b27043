"""``unbiased``: what a linear layer gives, apart from its bias.

In front of a plugin TensorRT 8.6 adds a bias in a kernel of its own; the plugins here do so
themselves.
"""

from __future__ import annotations

from trtdsl.network import Tensor
from trtdsl.passes.fold import biased

__all__ = ["unbiased"]


def unbiased(rows: Tensor) -> tuple[Tensor, Tensor | None]:
    """Rows ``(.., W)`` as a product gave them, and what is added to each of them, ``(W,)``."""
    found = biased(rows.producer) if rows.producer is not None else None
    if found is None:
        return rows, None
    (product,), bias = found[0].outputs, found[1]
    width = rows.shape[-1]
    by_column = bias.rank > 0 and bias.shape[-1] == width == bias.type.volume
    if not by_column or product.type != rows.type:
        return rows, None
    return product, bias.reshape(width)
