"""TensorRT's timings of layers: in a file for every process, and held in this one.

TensorRT 8.6 was seen to read its layers' timings back, and then to fail at those of its graph
compiler ("Myelin error from unknown graph"), also where there are none of them. So what it has read
is taken; and the object that the builds of a process have filled is held, and shared by their
configurations, which TensorRT allows, as it still knows the graph compiler's.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trtdsl.cache import CacheWarning, Store
from trtdsl.runtime import logger

__all__ = ["attached", "forget"]


@dataclass(kw_only=True)
class _Held:
    """TensorRT's object, and the bytes on the disk that it knows."""

    cache: Any
    known: bytes | None


_HELD: dict[tuple[Path, str], _Held] = {}
"""By the store and the key of the timings."""


def forget() -> None:
    """Hold nothing any more: the next build begins with what is on the disk, as a process does."""
    _HELD.clear()


@contextmanager
def attached(config: Any, store: Store, key: str, about: str) -> Iterator[None]:
    """Give a builder configuration the timings so far, and keep those that the build adds.

    Also when it fails or is stopped: what was timed was timed. Timings that another process has
    written meanwhile stay. Timings that are gone from the disk are forgotten here too.
    Source: IBuilderConfig.set_timing_cache, ITimingCache.combine.
    """
    on_disk = store.read("timing", key)
    held = _HELD.pop((store.root, key), None) if on_disk else None
    timings = _shared(config, held, on_disk) or _read(config, on_disk)
    try:
        yield
    finally:
        if timings is not None:
            store.update("timing", key, about, lambda now: _merged(config, timings, now))
            _HELD[store.root, key] = timings


def _shared(config: Any, held: _Held | None, on_disk: bytes | None) -> _Held | None:
    """The held timings, with those that another process has added, if TensorRT takes them."""
    if held is None or not config.set_timing_cache(held.cache, False):
        return None
    _add(config, held, on_disk)
    return held


def _read(config: Any, on_disk: bytes | None) -> _Held | None:
    """The timings on the disk, or what TensorRT takes of them; none yet where it takes none."""
    cache, said = _created(config, on_disk or b"")
    if cache is not None and config.set_timing_cache(cache, False):
        if on_disk and said and _size(cache) <= _size(_created(config, b"")[0]) < len(on_disk):
            _warn(on_disk, said)
        return _Held(cache=cache, known=on_disk)
    _warn(on_disk or b"", said)
    cache, _ = _created(config, b"")
    if cache is not None and config.set_timing_cache(cache, False):
        return _Held(cache=cache, known=on_disk)
    return None


def _warn(data: bytes, said: str) -> None:
    warnings.warn(
        f"TensorRT refused {len(data)} bytes of cached timings, and times all layers anew: "
        f"{said or 'it gave no reason'}",
        CacheWarning,
        stacklevel=7,
    )


def _created(config: Any, data: bytes) -> tuple[Any, str]:
    """TensorRT's object for the bytes, and what it has to say against them."""
    logger.clear()
    with logger.quietly():
        cache = config.create_timing_cache(data)
    said = "; ".join(logger.last_errors())
    logger.clear()  # no build fails of this
    return cache, said


def _size(cache: Any) -> int:
    """The bytes of what a timing cache holds; an empty one has some too."""
    serialized = None if cache is None else cache.serialize()
    return 0 if serialized is None else len(bytes(serialized))


def _merged(config: Any, timings: _Held, now: bytes | None) -> bytes | None:
    """All timings, with those that are on the disk ``now`` and were not yet known.

    Where TensorRT does not put them together, the larger of both stays.
    """
    together = _add(config, timings, now)
    serialized = timings.cache.serialize()
    timings.known = None if serialized is None else bytes(serialized)
    if now and not together and len(now) > len(timings.known or b""):
        timings.known = now
    return timings.known


def _add(config: Any, timings: _Held, data: bytes | None) -> bool:
    """Whether the held timings now have those of ``data`` too.

    What TensorRT 8.6 has read of a file, it was seen to refuse to combine with others.
    """
    if not data or data == timings.known:
        return True
    timings.known = data
    others, said = _created(config, data)
    if others is not None and timings.cache.combine(others, False):
        return True
    if others is None or not said:
        _warn(data, said)
    return False
