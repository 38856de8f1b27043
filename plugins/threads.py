"""``per_element``: a launch with a thread for each of so many elements."""

from __future__ import annotations

from typing import Any

from trtdsl.extension.launch import Launch

__all__ = ["per_element"]

_BLOCK = 256


def per_element(kernel: str, count: int, *args: Any) -> Launch:
    """Threads ``0..count - 1`` and, in the last block, some more, which have nothing to do.

    The kernel takes ``args`` and then ``int count``.
    """
    grid = -(-count // _BLOCK)
    return Launch(kernel=kernel, grid=grid, block=_BLOCK, args=(*args, count))
