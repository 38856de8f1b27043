"""``plain_number``: the numbers that a model's code holds, apart from its weights."""

from __future__ import annotations

from trtdsl.ir.constant import Constant
from trtdsl.network import Tensor
from trtdsl.reference import fold

__all__ = ["plain_number"]


def plain_number(x: Tensor) -> float | None:
    """The one number that x holds; None for several, and for weights, which a refit changes."""
    if not x.is_constant or x.type.volume != 1 or not _is_plain(x):
        return None
    return float(fold(x))


def _is_plain(x: Tensor) -> bool:
    made = x.producer
    if made is None:
        return False
    named = isinstance(made.layer, Constant) and made.layer.weights.name is not None
    return not named and all(map(_is_plain, made.inputs))
