"""A stand-in ``tensorrt`` for every release that ``tests/data/tensorrt_api`` describes.

The descriptions were read from the real bindings. The stand-in refuses each name, argument, type,
enum member and assignment that the release lacks, and records the calls that it took (``calls`` of
a network, a layer, a configuration), so a lowering can run against all releases on any machine. It
proves that the calls exist, not that they compute: nothing is inferred and nothing is built.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from unittest import mock

from .errors import MissingNameError, RefusedError, StandInError
from .objects import Call
from .release import FOLDER, Release, StandInModule

__all__ = [
    "VERSIONS",
    "Call",
    "MissingNameError",
    "RefusedError",
    "StandInError",
    "installed",
    "load",
]

VERSIONS = sorted(
    (path.stem for path in FOLDER.glob("*.json")), key=lambda v: [int(n) for n in v.split(".")]
)
"""The releases that can be loaded, oldest first."""


@cache
def load(version: str) -> StandInModule:
    """The ``tensorrt`` module of a release, for use as ``import tensorrt as trt``."""
    return Release(version).module


@contextmanager
def installed(version: str) -> Iterator[StandInModule]:
    """Within the block, ``import tensorrt`` finds the stand-in of this release."""
    module = load(version)
    modules = {"tensorrt": module}
    if hasattr(module, "plugin"):
        modules["tensorrt.plugin"] = module.plugin
    with mock.patch.dict(sys.modules, modules):
        yield module
