"""``BuildOptions``: what TensorRT is told beside the network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, TypedDict

from trtdsl.errors import BuildError, ConversionError, explain
from trtdsl.runtime.device import index_of

__all__ = ["HARDWARE", "PRECISIONS", "BuildArguments", "BuildOptions", "require_precision"]

PRECISIONS = (None, "fp32", "tf32", "fp16", "bf16")

_ALSO_CALLED = {
    "fp32": ("float", "float32", "torch.float32"),
    "fp16": ("half", "float16", "torch.float16"),
    "bf16": ("bfloat16", "torch.bfloat16"),
}

HARDWARE = ("same", "ampere_plus", "same_compute_capability")
"""The GPUs that a plan may be for: the model that it was built on, or more of them."""


class _UnknownOption(BuildError, TypeError):
    """An argument that no option is; Python's own error for one is a TypeError."""


def require_precision(precision: Any) -> None:
    """Refuse a word that is none of ``PRECISIONS``. Errors: ConversionError."""
    if precision in PRECISIONS:
        return
    meant = [word for word, names in _ALSO_CALLED.items() if str(precision) in names]
    raise ConversionError(
        explain(
            f"precision is one of {', '.join(map(repr, PRECISIONS))}, not {precision!r}",
            fix=f'precision="{meant[0]}"' if meant else "leave it out for the model's own dtypes",
        )
    )


class BuildArguments(TypedDict, total=False):
    """The fields of BuildOptions as keyword arguments, but for ``precision``."""

    workspace: int | None
    optimization_level: int | None
    profiles: Sequence[Mapping[str, Any]] | None
    refit: bool
    strip_weights: bool
    device: int | str
    version_compatible: bool
    hardware_compatible: bool | str
    cache: bool | str | os.PathLike[str]
    cache_limit: int
    progress: bool | None


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What TensorRT is told beside the network.

    - ``precision``: what the network was traced with; only ``"tf32"`` matters here
    - ``workspace``: the most device memory a layer may use while it runs, in bytes; by default all
    - ``optimization_level``: 0 (fast build) to 5 (fast engine); TensorRT's default is 3
    - ``profiles``: the ranges of dynamic sizes to tune for, by name of the Dim, each ``(min, opt,
      max)`` or one int: ``[{"batch": 1}, {"batch": (8, 16, 32)}]``. A call runs in the first that
      has its sizes; a size left out keeps the Dim's range. By default one profile of the Dims'
    - ``refit``: let ``Engine.refit`` change the weights later, which costs some speed. The engine
      keeps a copy of them on the CPU; TensorRT allows it one profile only
    - ``strip_weights``: a plan without them, refitted on load: ``trtdsl.load(path, weights=
      model.state_dict())``; implies ``refit``. From TensorRT 10 on
    - ``device``: the GPU to build on and to live on, ``1`` or ``"cuda:1"``
    - ``version_compatible``: a plan that later releases of the same major version of TensorRT load
      as well. It holds a runtime of its own, which is code that loading it runs on the host
    - ``hardware_compatible``: ``True`` or ``"ampere_plus"`` is a plan for every GPU from compute
      capability 8.0 on, ``"same_compute_capability"`` (from TensorRT 10.9 on) for every GPU of
      this one's; both may be slower
    - ``cache``: where timings and engines are kept for the next build; ``True`` is the user's cache
      directory or ``$TRTDSL_CACHE``, ``False`` is nowhere. See ``trtdsl.cache`` on who to trust
    - ``cache_limit``: the bytes that the cache may take; what was used longest ago makes room
    - ``progress``: whether to show how far the build is; ``None`` does where standard error is a
      terminal

    Errors: BuildError, ConversionError, RunError (device) for a value that is not as above.
    """

    precision: str | None = None
    workspace: int | None = None
    optimization_level: int | None = None
    profiles: Sequence[Mapping[str, Any]] | None = None
    refit: bool = False
    strip_weights: bool = False
    device: int | str = 0
    version_compatible: bool = False
    hardware_compatible: bool | str = False
    cache: bool | str | os.PathLike[str] = True
    cache_limit: int = 10 * 2**30
    progress: bool | None = None

    @classmethod
    def of(cls, precision: str | None, arguments: Mapping[str, Any]) -> BuildOptions:
        """The options of a call's keyword arguments. Errors: also BuildError for an unknown one."""
        known = [f.name for f in fields(cls)]
        if unknown := [name for name in arguments if name not in known]:
            near = get_close_matches(unknown[0], known, n=1)
            raise _UnknownOption(
                explain(
                    f"there is no option {', '.join(unknown)}",
                    fix=f"{near[0]} is one" if near else f"the options are {', '.join(known)}",
                )
            )
        return cls(precision=precision, **arguments)

    def __post_init__(self) -> None:
        require_precision(self.precision)
        for name in ("workspace", "optimization_level", "cache_limit"):
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                raise BuildError(
                    explain(
                        f"{name} is {value!r}", fix="give an int; memory counts in bytes, 4 * 2**30"
                    )
                )
        self._check_refit()
        index_of(self.device)
        if self.hardware not in HARDWARE:
            raise BuildError(
                f"hardware_compatible is {self.hardware_compatible!r}; it is False, True or one of "
                f"{HARDWARE[1:]}"
            )
        if self.workspace is not None and self.workspace <= 0:
            raise BuildError(f"workspace is {self.workspace} bytes; it must be positive")
        self._check_cache()
        if self.optimization_level is not None and not 0 <= self.optimization_level <= 5:
            raise BuildError(f"optimization_level is {self.optimization_level}, outside of 0..5")

    @property
    def gpu(self) -> int:
        """The index of ``device``."""
        return index_of(self.device)

    @property
    def hardware(self) -> str:
        """The GPUs that the plan is for, one of ``HARDWARE``."""
        if isinstance(self.hardware_compatible, bool):
            return "ampere_plus" if self.hardware_compatible else "same"
        return self.hardware_compatible

    @property
    def refits(self) -> bool:
        """Whether the weights can be changed after the build."""
        return self.refit or self.strip_weights

    def _check_cache(self) -> None:
        if not isinstance(self.cache, bool | str | os.PathLike):
            raise BuildError(
                explain(f"cache is {self.cache!r}", fix="True, False or the path of a directory")
            )
        if not (self.progress is None or isinstance(self.progress, bool)):
            raise BuildError(
                explain(f"progress is {self.progress!r}", fix="True, False, or None at a terminal")
            )

    def _check_refit(self) -> None:
        for name in ("refit", "strip_weights", "version_compatible"):
            if type(getattr(self, name)) is not bool:
                raise BuildError(f"{name} is {getattr(self, name)!r}; it is True or False")
        if self.refits and self.profiles is not None and len(self.profiles) > 1:
            raise BuildError(
                explain(
                    f"{len(self.profiles)} profiles, and TensorRT refits engines of one only",
                    fix="build an engine a profile, or leave out refit",
                )
            )
