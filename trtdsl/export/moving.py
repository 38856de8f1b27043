"""Values that change and stay the same object: arrays of numpy's, generators, iterators."""

from __future__ import annotations

import itertools
import operator
import random
import sys
from typing import Any

__all__ = ["put_back", "state_of"]

_LARGEST = 2**24
"""The bytes of an array that are looked at."""
_ITERATORS: tuple[type, ...] = (
    type(iter([])),
    type(iter(())),
    type(iter(range(0))),
    itertools.repeat,
)


def state_of(value: Any) -> Any:
    """What a value of such a kind holds now, to be compared with later; None for others."""
    kind = type(value)
    if issubclass(kind, random.Random):
        return value.getstate()
    if kind is itertools.count:
        return repr(value)
    if kind in _ITERATORS:
        return operator.length_hint(value)
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if issubclass(kind, numpy.random.Generator):
        return repr(value.bit_generator.state)
    if issubclass(kind, numpy.random.RandomState):
        return repr(value.get_state())
    if kind is numpy.ndarray and value.nbytes <= _LARGEST and not value.dtype.hasobject:
        return value.tobytes()
    return None


def put_back(value: Any, state: Any) -> None:
    """Have a value hold what it held, where that can be: an iterator does not go back."""
    numpy = sys.modules.get("numpy")
    if issubclass(type(value), random.Random):
        value.setstate(state)
    elif numpy is not None and type(value) is numpy.ndarray and value.flags.writeable:
        value[...] = numpy.frombuffer(state, value.dtype).reshape(value.shape)
