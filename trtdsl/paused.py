"""``collections_paused``: no garbage collections while many small objects are made that all stay.

Each of them looks at all objects of the process, and beside PyTorch these are millions: a third of
a second, in phases that take less.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["collections_paused"]


@contextmanager
def collections_paused() -> Iterator[None]:
    """Inside, Python frees what nothing refers to, and looks for no cycles."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
