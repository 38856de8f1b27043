"""What went wrong inside callbacks, kept until the call that TensorRT made them from is over."""

from __future__ import annotations

import logging
import threading
from collections import deque

__all__ = ["note", "take", "told"]

_LOG = logging.getLogger("trtdsl.plugins")
_LOCK = threading.Lock()
_failures: deque[BaseException] = deque(maxlen=16)


def note(plugin: str, error: BaseException) -> None:
    """Keep an exception that a plugin's Python code raised."""
    _LOG.error("plugin %s failed", plugin, exc_info=error)
    error.add_note(f"in plugin {plugin}")
    with _LOCK:
        _failures.append(error)


def take() -> BaseException | None:
    """The first exception since the last ``take``; notes tell the plugin."""
    with _LOCK:
        first = _failures[0] if _failures else None
        _failures.clear()
    return first


def told(error: BaseException | None) -> str:
    """What to add to a message for an exception that ``take`` gave."""
    if error is None:
        return ""
    return f"\n  {', '.join(error.__notes__)}: {type(error).__name__}: {error}"
