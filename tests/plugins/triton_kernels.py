"""Kernels in Triton, which finds their globals in their module only."""

import triton
import triton.language as tl

__all__ = ["doubled"]


@triton.jit
def doubled(x, y, count, shift, BLOCK: tl.constexpr):  # noqa: N803
    """``2 * x + shift``."""
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = i < count
    tl.store(y + i, 2 * tl.load(x + i, mask=inside) + shift, mask=inside)
