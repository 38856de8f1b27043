"""``BuildOptions``: what TensorRT is told beside the network."""

from __future__ import annotations

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


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What TensorRT is told beside the network.

    - ``precision``: what the network was traced with; only ``"tf32"`` matters here
    - ``workspace``: the most device memory a layer may use while it runs, in bytes; by default all
    - ``optimization_level``: 0 (fast build) to 5 (fast engine); TensorRT's default is 3
    - ``profiles``: the ranges of dynamic sizes to tune for, by name of the Dim, each ``(min, opt,
      max)`` or one int: ``[{"batch": 1}, {"batch": (8, 16, 32)}]``. A call runs in the first that
      has its sizes; a size left out keeps the Dim's range. By default one profile of the Dims'

    Errors: BuildError, ConversionError for a value that is not as above.
    """

    precision: str | None = None
    workspace: int | None = None
    optimization_level: int | None = None
    profiles: Sequence[Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ConversionError(f"precision is one of {PRECISIONS}, not {self.precision!r}")
        for name in ("workspace", "optimization_level"):
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise BuildError(
                    explain(
                        f"{name} is {value!r}", fix="give an int; workspace counts bytes, 4 * 2**30"
                    )
                )
        if self.workspace is not None and self.workspace <= 0:
            raise BuildError(f"workspace is {self.workspace} bytes; it must be positive")
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise BuildError(f"optimization_level is {self.optimization_level}, outside of 0..5")
