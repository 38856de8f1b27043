"""TensorRT's messages: kept for our errors, and passed on to Python's ``logging``.

TensorRT reports the reason of a failure only through its logger, and takes the first logger that a
process gives it for all of that process; so there is one, shared by builders and runtimes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from trtdsl.tensorrt_api import import_tensorrt

__all__ = ["clear", "last_errors", "listening", "quietly", "record", "tensorrt_logger"]

_LOG = logging.getLogger("trtdsl.tensorrt")
_KEPT = 64
_LEVELS = {
    "INTERNAL_ERROR": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
}
_messages: deque[tuple[int, str]] = deque(maxlen=_KEPT)


_listeners: list[Callable[[str], None]] = []


def last_errors() -> list[str]:
    """TensorRT's errors since ``clear``, oldest first, repetitions once; the last 64 messages."""
    errors = (text for level, text in list(_messages) if level >= logging.ERROR)
    return list(dict.fromkeys(errors))


def clear() -> None:
    """Forget the messages so far."""
    _messages.clear()


def record(severity: str, text: str) -> None:
    """Keep and pass on a message of severity ``INTERNAL_ERROR``, ``ERROR`` or ``WARNING``."""
    level = _LEVELS[severity]
    _messages.append((level, text))
    _LOG.log(level, text)


@contextmanager
def listening(listener: Callable[[str], None]) -> Iterator[None]:
    """Give ``listener`` every message within the block, those that are kept nowhere included."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


@contextmanager
def quietly() -> Iterator[None]:
    """Keep messages within the block without passing them on: whoever asks will tell them."""
    before, _LOG.disabled = _LOG.disabled, True
    try:
        yield
    finally:
        _LOG.disabled = before


@cache
def tensorrt_logger() -> Any:
    """The ``tensorrt.ILogger`` of this process. Errors: UnavailableError without TensorRT."""
    trt = import_tensorrt()
    names = {getattr(trt.ILogger, name): name for name in _LEVELS}

    class Logger(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)  # pybind11 refuses an object whose base was not made

        def log(self, severity: Any, msg: str) -> None:
            for listener in tuple(_listeners):
                listener(msg)
            name = names.get(severity)
            if name is not None:  # INFO and VERBOSE come by the thousand during a build
                record(name, msg)

    return Logger()
