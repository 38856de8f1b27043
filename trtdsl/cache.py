"""The cache on disk: what builds leave behind for the next, TensorRT's timings and whole engines.

A directory of files, one an entry, named by a key that says everything the content depends on. An
entry is written beside its place and renamed, under a lock that all processes share; so readers,
which take no lock, see a whole entry or none, and what a killed writer left is removed by the next.

**An engine is code that runs on the GPU, and so the directory is its user's own**: it is made with
mode 0700, it is not used if somebody else owns it or may write to it, and each entry carries a
digest that is checked. Whoever can write there can choose what an application runs.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["KINDS", "CacheWarning", "Entry", "Store", "configured", "default_place"]

KINDS = ("engine", "timing")
_VERSION = "trtdsl-cache/1"
_VARIABLE = "TRTDSL_CACHE"
_OFF = ("off", "0", "no", "false")
_KEY = re.compile(r"[0-9a-f]{64}")
_PART = ".part"
_PATIENCE = 60
"""Seconds to wait for the lock, which is held while one entry is written."""


class CacheWarning(UserWarning):
    """The cache on disk is not used, or an entry of it is not: the build goes on without."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of the cache. ``size`` in bytes; ``used`` in seconds since 1970."""

    kind: str
    key: str
    about: str
    size: int
    used: float
    path: Path


class _Damaged(Exception):
    """A file is not an entry, or not a whole one."""


def default_place() -> Path | None:
    """``$TRTDSL_CACHE``, None where that is ``off``; without it the user's cache directory."""
    import platformdirs

    place = os.environ.get(_VARIABLE, "")
    if place.lower() in _OFF:
        return None
    return Path(place).expanduser() if place else platformdirs.user_cache_path("trtdsl")


def configured(cache: bool | str | os.PathLike[str], limit: int) -> Store | None:
    """The store that an option asks for: ``True`` is the default place, ``False`` is none."""
    if cache is False:
        return None
    place = default_place() if cache is True else Path(cache).expanduser()
    return None if place is None else Store(place, limit=limit)


class Store:
    """A directory of entries that together take at most ``limit`` bytes.

    Nothing here raises for what is on the disk: it warns (CacheWarning), and the entry is absent.
    """

    def __init__(self, root: Path, *, limit: int) -> None:
        self.root = root
        self.limit = limit

    def read(self, kind: str, key: str) -> bytes | None:
        """The content of an entry, which is then the one used last; None where there is none."""
        path = self._path(kind, key)
        with _warned(f"the cache entry {path} is ignored"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # or just now evicted by another process
                return None
            self._prepare()
            content = _content(data)
            with suppress(FileNotFoundError):
                os.utime(path)
            return content
        return None

    def update(
        self, kind: str, key: str, about: str, make: Callable[[bytes | None], bytes | None]
    ) -> None:
        """Replace an entry, by what ``make`` gives for its content so far, None to leave it.

        ``make`` runs under the lock. The entries used longest ago make room; one that would take
        more than the limit is not written.
        """
        with _warned(f"nothing was written to the cache {self.root}"), self._locked():
            path = self._path(kind, key)
            before = self.read(kind, key)
            content = make(before)
            if content is None or content == before:
                return
            data = _header(content, about) + content
            if len(data) > self.limit:
                raise OSError(f"{len(data):,} bytes are more than its limit of {self.limit:,}")
            part = path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{_PART}")
            path.parent.mkdir(mode=0o700, exist_ok=True)
            try:
                part.write_bytes(data)
                os.replace(part, path)
            finally:
                part.unlink(missing_ok=True)
            self._evict(keep=path)

    def entries(self) -> list[Entry]:
        """All entries, the one used last first; damaged ones as such."""
        found = []
        for kind in KINDS:
            for path in (self.root / kind).glob("*"):
                if _KEY.fullmatch(path.name):
                    with _warned(f"{path} is not listed"):
                        found.append(_entry(kind, path))
        return sorted(found, key=lambda entry: entry.used, reverse=True)

    def clear(self) -> int:
        """Remove all entries; the number of bytes that this frees."""
        with _warned(f"the cache {self.root} is not cleared"):
            if not self.root.exists():
                return 0
            with self._locked():
                entries = self.entries()
                self._sweep()
                for entry in entries:
                    entry.path.unlink(missing_ok=True)
                return sum(entry.size for entry in entries)
        return 0

    def _path(self, kind: str, key: str) -> Path:
        if kind not in KINDS or not _KEY.fullmatch(key):
            raise ValueError(f"{kind}/{key} is no name of an entry")
        return self.root / kind / key

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        self._prepare()
        try:
            with FileLock(self.root / ".lock", timeout=_PATIENCE, mode=0o600):
                yield
        except Timeout:
            raise OSError(f"another process has held its lock for {_PATIENCE} s") from None

    def _prepare(self) -> None:
        """Make the directory. Errors: OSError when it is not its user's alone to write to."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = self.root.stat()
        if hasattr(os, "getuid") and (status.st_uid != os.getuid() or status.st_mode & 0o022):
            raise PermissionError(
                f"{self.root} is owned by user {status.st_uid} with mode "
                f"{status.st_mode & 0o777:o}, and engines are code: chmod 700 a directory of your "
                f"own, or name another in {_VARIABLE}"
            )

    def _evict(self, keep: Path) -> None:
        """Remove the entries used longest ago until the rest fits; call under the lock."""
        self._sweep()
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        for entry in reversed(entries):
            if total > self.limit and entry.path != keep:
                entry.path.unlink(missing_ok=True)
                total -= entry.size

    def _sweep(self) -> None:
        """Remove what writers that were killed left: whoever holds the lock is the only writer."""
        for kind in KINDS:
            for part in (self.root / kind).glob(f"*{_PART}"):
                part.unlink(missing_ok=True)


@contextmanager
def _warned(what: str) -> Iterator[None]:
    """Errors of the disk, and damage, as warnings."""
    try:
        yield
    except (OSError, _Damaged) as error:
        warnings.warn(f"{what}: {error}", CacheWarning, stacklevel=4)


def _header(content: bytes, about: str) -> bytes:
    facts = {
        "format": _VERSION,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
        "about": about,
    }
    return json.dumps(facts).encode("ascii") + b"\n"


def _content(data: bytes) -> bytes:
    """What an entry's file holds. Errors: _Damaged when it is foreign, cut short or changed."""
    line, _, content = data.partition(b"\n")
    facts = _facts(line)
    if len(content) != facts["size"]:
        raise _Damaged(f"it holds {len(content)} bytes, and says {facts['size']}")
    if hashlib.sha256(content).hexdigest() != facts["sha256"]:
        raise _Damaged("its digest is another: it was changed after it was written")
    return content


def _facts(line: bytes) -> dict[str, object]:
    try:
        facts = json.loads(line)
    except (ValueError, RecursionError):
        facts = None
    if not isinstance(facts, dict) or facts.get("format") != _VERSION:
        raise _Damaged(f"it is no entry of {_VERSION}")
    if not {"size", "sha256", "about"} <= facts.keys():
        raise _Damaged("its first line lacks what an entry's has")
    return facts


def _entry(kind: str, path: Path) -> Entry:
    status = path.stat()
    with path.open("rb") as file:
        line = file.readline(1 << 16)
    try:
        about = str(_facts(line)["about"])
    except _Damaged as error:
        about = f"damaged: {error}"
    return Entry(
        kind=kind,
        key=path.name,
        about=about,
        size=status.st_size,
        used=status.st_mtime,
        path=path,
    )
