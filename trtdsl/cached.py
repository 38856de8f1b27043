"""What the cache does for a build: a whole engine found again, or the timings of its layers."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from trtdsl.cache import CacheWarning, Store, configured
from trtdsl.network_digest import KeylessError, engine_key, timing_key
from trtdsl.options import BuildOptions
from trtdsl.runtime import logger

if TYPE_CHECKING:
    from trtdsl.network import Network
    from trtdsl.runtime.device import Gpu

__all__ = ["BuildCache", "Built"]

_WITHOUT_EFFECT = {"cache", "cache_limit", "device", "progress"}
"""Options that change nothing about the engine; GPUs of one name share it."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build makes: the plan, and the recipes of its weights if it can be refitted."""

    plan: bytes
    refit: dict[str, Any] | None = None

    def pack(self) -> bytes:
        """Both as the content of a cache entry."""
        return json.dumps({"refit": self.refit}).encode("ascii") + b"\n" + self.plan

    @classmethod
    def unpack(cls, content: bytes) -> Built:
        """What ``pack`` wrote, of which the cache has checked the digest."""
        line, _, plan = content.partition(b"\n")
        return cls(plan=plan, refit=json.loads(line)["refit"])


@dataclass(frozen=True, kw_only=True)
class BuildCache:
    """The places in the cache for one build; without a store, nothing is kept."""

    store: Store | None
    engine: str | None
    """The key of the engine; None where no key can tell it from another."""
    timing: str
    about: str
    gpu: str

    @classmethod
    def of(cls, network: Network, options: BuildOptions, tensorrt: str, gpu: Gpu) -> BuildCache:
        """The places of a network's build by this TensorRT for this GPU."""
        store = configured(options.cache, options.cache_limit)
        key = None
        if store is not None:
            names = [f.name for f in fields(options) if f.name not in _WITHOUT_EFFECT]
            try:
                known = {name: getattr(options, name) for name in names}
                key = engine_key(network, known, tensorrt, gpu)
            except KeylessError as error:
                warnings.warn(f"the engine is not cached: {error}", CacheWarning, stacklevel=4)
        where = f"{gpu.name}, TensorRT {tensorrt}"
        return cls(
            store=store,
            engine=key,
            timing=timing_key(tensorrt, gpu),
            about=f"{network.name}, {options.precision or 'as traced'}, {where}",
            gpu=where,
        )

    def load(self) -> bytes | None:
        """The content kept for the very same build, None where there is none."""
        if self.store is None or self.engine is None:
            return None
        return self.store.read("engine", self.engine)

    def save(self, content: bytes) -> None:
        """Keep the content for the next build of the same."""
        if self.store is not None and self.engine is not None:
            self.store.update("engine", self.engine, self.about, lambda _: content)

    @contextmanager
    def timings(self, config: Any) -> Iterator[None]:
        """Give a builder configuration the timings so far, and keep those that the build adds.

        Also when it fails or is stopped: what was timed was timed. Timings that another process
        has written meanwhile stay.
        Source: IBuilderConfig.set_timing_cache, ITimingCache.combine.
        """
        if self.store is None:
            yield
            return
        known = self.store.read("timing", self.timing)
        cache = _attached(config, known)
        try:
            yield
        finally:
            if cache is not None:
                self.store.update(
                    "timing", self.timing, self.gpu, lambda now: _merged(config, cache, known, now)
                )


def _attached(config: Any, known: bytes | None) -> Any:
    """The configuration's timing cache, with the known timings if TensorRT takes them."""
    for data in [known, b""] if known else [b""]:
        logger.clear()
        cache = config.create_timing_cache(data)
        # TensorRT 8.6 was seen to give an empty cache for timings that it could not read.
        said = "; ".join(logger.last_errors())
        logger.clear()  # no build fails of this
        if cache is not None and not said and config.set_timing_cache(cache, False):
            return cache
        warnings.warn(
            f"TensorRT refused {len(data)} bytes of cached timings, and times all layers anew: "
            f"{said or 'it gave no reason'}",
            CacheWarning,
            stacklevel=5,
        )
    return None


def _merged(config: Any, cache: Any, known: bytes | None, now: bytes | None) -> bytes | None:
    """All timings, with those that are on the disk ``now`` and were not yet ``known``."""
    if now and now != known:
        others = config.create_timing_cache(now)
        if others is not None:
            cache.combine(others, False)
    serialized = cache.serialize()
    return None if serialized is None else bytes(serialized)
