"""TensorRT's messages: kept for our errors, and passed on to Python's ``logging``.

TensorRT reports the reason of a failure only through its logger, and takes the first logger that a
process gives it for all of that process; so there is one, shared by builders and runtimes.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from trtdsl.errors import TrtdslError
from trtdsl.runtime.once import once
from trtdsl.tensorrt_api import import_tensorrt

__all__ = [
    "clear", "constructed", "last_errors", "listening", "quietly", "record", "tensorrt_logger",
]  # fmt: skip

_LOG = logging.getLogger("trtdsl.tensorrt")
_KEPT = 64
_LEVELS = {
    "INTERNAL_ERROR": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
}
_numbers = itertools.count(1)
_here = threading.local()
_cleared = 0
"""The number at the last ``clear`` of any thread; ``_here.cleared`` is this thread's."""
_listeners: list[Callable[[str], None]] = []


@dataclass(frozen=True, kw_only=True)
class _Message:
    level: int
    text: str
    number: int
    thread: int


_messages: deque[_Message] = deque(maxlen=_KEPT)


def last_errors(*, own: bool = False) -> list[str]:
    """TensorRT's errors since this thread's ``clear``, oldest first, repetitions once.

    At most the last 64 messages of the process; ``own`` leaves out those of other threads, which
    build or run engines of their own.
    """
    since, here = getattr(_here, "cleared", _cleared), threading.get_ident()
    found = (m for m in list(_messages) if m.level >= logging.ERROR and m.number > since)
    return list(dict.fromkeys(m.text for m in found if not own or m.thread == here))


def clear() -> None:
    """Forget the messages so far in this thread; others may still be about to ask for theirs."""
    global _cleared
    _cleared = _here.cleared = next(_numbers)


def record(severity: str, text: str) -> None:
    """Keep and pass on a message of severity ``INTERNAL_ERROR``, ``ERROR`` or ``WARNING``."""
    level = _LEVELS[severity]
    made = {"number": next(_numbers), "thread": threading.get_ident()}
    _messages.append(_Message(level=level, text=text, **made))
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


def constructed(refusal: type[TrtdslError], kind: Callable[..., Any], *args: Any) -> Any:
    """What a class of TensorRT's makes.

    Errors: the refusal, with what was logged, for nothing, where its binding raises TypeError
    "factory function returned nullptr".
    """
    try:
        return kind(*args)
    except TypeError as error:
        if "nullptr" not in str(error):
            raise
        said = "; ".join(last_errors()) or "no reason was logged"
        raise refusal(f"TensorRT made no {kind.__name__}: {said}") from None


@once
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
