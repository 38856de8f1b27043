"""Fixtures that several test modules share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from tests import standin


@pytest.fixture(autouse=True, scope="session")
def no_cache() -> Iterator[None]:
    """Keep builds out of the user's own cache; tests of the cache name a place of theirs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRTDSL_CACHE", "off")
        yield


class _Held(SimpleNamespace):
    """What ``build`` hands to an engine, and what it tells it of its weights."""

    def __init__(self, plan: bytes, manifest: Any, device: int) -> None:
        super().__init__(plan=plan, manifest=manifest, device=device)

    def remember(self, weights: Any) -> None:
        self.remembered = weights


@pytest.fixture
def building(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """``building(version)``: let ``build`` run on a release's stand-in, with a GPU that is not.

    The engines only hold their plan and their manifest. Gives the stand-in module; the builder
    configurations made are its ``configs``.
    """
    from trtdsl import build as build_module
    from trtdsl.lower import lower
    from trtdsl.runtime import device, logger

    gpu = device.Gpu(index=0, name="stand-in", compute_capability="9.0", cuda="12.4", memory=1)
    monkeypatch.setattr(device, "_probe", lambda index: gpu)
    monkeypatch.setattr(device, "primary_context", lambda index: nullcontext())
    monkeypatch.setattr(
        "trtdsl.engine.Engine",
        _Held,
    )
    monkeypatch.setattr(build_module, "lower", partial(lower, infers=False))
    caches = (build_module.builder, logger.tensorrt_logger)
    configure = build_module.configure

    def use(version: str) -> Any:
        for cached in caches:
            cached.cache_clear()
        trt = standin.load(version)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        made: list[Any] = []

        def noted(*args: Any, **kwargs: Any) -> Any:
            made.append(configure(*args, **kwargs))
            return made[-1]

        monkeypatch.setattr(build_module, "configure", noted)
        monkeypatch.setattr(trt, "configs", made, raising=False)
        return trt

    yield use
    for cached in caches:
        cached.cache_clear()
