"""Which TensorRT is installed, and what is missing to use it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trtdsl.errors import UnavailableError, explain

__all__ = ["import_tensorrt", "installed_version", "why_unavailable"]

_INSTALL = "pip install 'trtdsl[tensorrt]'"


def installed_version() -> str | None:
    """The version of the tensorrt package, without importing it; None where there is none."""
    for package in (
        "tensorrt",
        "tensorrt_bindings",
        "tensorrt_cu13_bindings",
        "tensorrt_cu12_bindings",
    ):
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    try:
        import tensorrt
    except ImportError:
        return None
    return str(tensorrt.__version__)


def import_tensorrt() -> Any:
    """The tensorrt module. Errors: UnavailableError says what to install."""
    try:
        import tensorrt
    except ImportError as error:
        raise UnavailableError(
            explain(f"TensorRT cannot be imported: {error}", fix=_INSTALL)
        ) from error
    major, minor = (int(part) for part in tensorrt.__version__.split(".")[:2])
    if (major, minor) < (8, 6):
        raise UnavailableError(
            explain(
                f"TensorRT {tensorrt.__version__} is too old: trtdsl needs 8.6 or later",
                fix="pip install --upgrade tensorrt",
            )
        )
    return tensorrt


def why_unavailable() -> str | None:
    """What is missing to build or run an engine here; None when nothing is."""
    from trtdsl.runtime.device import find_gpu

    if find_gpu() is None:
        return explain(
            "no NVIDIA GPU was found", fix="run on a machine with one; see `trtdsl doctor`"
        )
    try:
        import_tensorrt()
    except UnavailableError as error:
        return str(error)
    return None
