"""What the cache does for a build: a whole engine found again, or the timings of its layers."""

from __future__ import annotations

import json
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from trtdsl.cache import CacheWarning, Store, configured
from trtdsl.network_digest import KeylessError, engine_key, timing_key
from trtdsl.options import BuildOptions
from trtdsl.timings import attached

if TYPE_CHECKING:
    from trtdsl.network import Network
    from trtdsl.runtime.device import Gpu

__all__ = ["BuildCache", "Built"]

_WITHOUT_EFFECT = {"cache", "cache_limit", "device", "progress"}
"""Options that change nothing about the engine; GPUs of one name share it."""


@dataclass(frozen=True, kw_only=True)
class Built:
    """What a build makes: the plan, and the recipes of its weights if it can be refitted.

    ``doubts``: what is to be warned of, about the precision that TensorRT computes in.
    """

    plan: bytes
    refit: dict[str, Any] | None = None
    doubts: str | None = None

    def pack(self) -> bytes:
        """All as the content of a cache entry."""
        beside = {"refit": self.refit, "doubts": self.doubts}
        return json.dumps(beside).encode("ascii") + b"\n" + self.plan

    @classmethod
    def unpack(cls, content: bytes) -> Built:
        """What ``pack`` wrote, of which the cache has checked the digest."""
        line, _, plan = content.partition(b"\n")
        return cls(plan=plan, **json.loads(line))


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

    @classmethod
    def of_timings(cls, options: BuildOptions, tensorrt: str, gpu: Gpu) -> BuildCache:
        """The place of timings alone: no engine is kept."""
        store = configured(options.cache, options.cache_limit)
        where = f"{gpu.name}, TensorRT {tensorrt}"
        timing = timing_key(tensorrt, gpu)
        return cls(store=store, engine=None, timing=timing, about=where, gpu=where)

    def load(self) -> bytes | None:
        """The content kept for the very same build, None where there is none."""
        if self.store is None or self.engine is None:
            return None
        return self.store.read("engine", self.engine)

    def save(self, content: bytes) -> None:
        """Keep the content for the next build of the same."""
        if self.store is not None and self.engine is not None:
            self.store.update("engine", self.engine, self.about, lambda _: content)

    def timings(self, config: Any) -> AbstractContextManager[None]:
        """Builds within it know the timings so far of such a GPU, and keep theirs."""
        if self.store is None:
            return nullcontext()
        return attached(config, self.store, self.timing, self.gpu)
