"""``BuildOptions``: what TensorRT is told beside the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from trtdsl.errors import BuildError, ConversionError, explain

__all__ = ["PRECISIONS", "BuildArguments", "BuildOptions"]

PRECISIONS = (None, "fp32", "tf32", "fp16", "bf16")


class BuildArguments(TypedDict, total=False):
    """The fields of BuildOptions as keyword arguments, but for ``precision``."""

    workspace: int | None
    optimization_level: int | None
    profiles: Sequence[Mapping[str, Any]] | None
    cache: bool | str | os.PathLike[str]
    cache_limit: int


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What TensorRT is told beside the network.

    - ``precision``: what the network was traced with; only ``"tf32"`` matters here
    - ``workspace``: the most device memory a layer may use while it runs, in bytes; by default all
    - ``optimization_level``: 0 (fast build) to 5 (fast engine); TensorRT's default is 3
    - ``profiles``: the ranges of dynamic sizes to tune for, by name of the Dim, each ``(min, opt,
      max)`` or one int: ``[{"batch": 1}, {"batch": (8, 16, 32)}]``. A call runs in the first that
      has its sizes; a size left out keeps the Dim's range. By default one profile of the Dims'
    - ``cache``: where timings and engines are kept for the next build; ``True`` is the user's cache
      directory or ``$TRTDSL_CACHE``, ``False`` is nowhere. See ``trtdsl.cache`` on who to trust
    - ``cache_limit``: the bytes that the cache may take; what was used longest ago makes room

    Errors: BuildError, ConversionError for a value that is not as above.
    """

    precision: str | None = None
    workspace: int | None = None
    optimization_level: int | None = None
    profiles: Sequence[Mapping[str, Any]] | None = None
    cache: bool | str | os.PathLike[str] = True
    cache_limit: int = 10 * 2**30

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConversionError(f"precision is one of {PRECISIONS}, not {self.precision!r}")
        for name in ("workspace", "optimization_level", "cache_limit"):
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise BuildError(
                    explain(
                        f"{name} is {value!r}", fix="give an int; memory counts in bytes, 4 * 2**30"
                    )
                )
        if self.workspace is not None and self.workspace <= 0:
            raise BuildError(f"workspace is {self.workspace} bytes; it must be positive")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise BuildError(f"optimization_level is {self.optimization_level}, outside of 0..5")
