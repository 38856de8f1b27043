"""``MOVES``: the layers that give elements of their input elsewhere, and compute none."""

from __future__ import annotations

from trtdsl.ir.shuffle import Shuffle, Squeeze, Unsqueeze
from trtdsl.ir.slice import Slice

__all__ = ["MOVES"]

MOVES = (Shuffle, Slice, Squeeze, Unsqueeze)
