"""The CUDA driver's library, called through ctypes: no torch and no pycuda are needed for it.

Source: the CUDA driver API, https://docs.nvidia.com/cuda/cuda-driver-api/.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import cache

from trtdsl.errors import RunError, UnavailableError, explain

__all__ = ["call", "check", "library", "refuse_after_fork"]

_NOT_INITIALIZED = 3
_FORKED = (
    "this process was forked from one that had started CUDA, and CUDA does not survive a fork",
    'start it with multiprocessing.get_context("spawn"), or load the engine only after the fork',
)
_started_in: int | None = None


@cache
def library() -> ctypes.CDLL:
    """The driver's library, initialized.

    Errors: UnavailableError where there is none; RunError in a fork of a process that used CUDA.
    """
    global _started_in
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        raise UnavailableError(f"the driver's library {name} is not installed") from None
    check(driver, "cuInit", driver.cuInit(ctypes.c_uint(0)))
    _started_in = os.getpid()
    return driver


def call(name: str, *args: object) -> None:
    """Call a function of the driver. Errors: RunError with the driver's words when it refuses."""
    driver = library()
    refuse_after_fork()
    check(driver, name, getattr(driver, name)(*args))


def check(driver: ctypes.CDLL, name: str, status: int) -> None:
    """Errors: RunError for a status other than 0 (CUDA_SUCCESS)."""
    if status == 0:
        return
    text = ctypes.c_char_p()
    driver.cuGetErrorString(status, ctypes.byref(text))
    reason = text.value.decode() if text.value else "unknown"
    fix = f"if this is a forked process: {_FORKED[1]}" if status == _NOT_INITIALIZED else None
    what = f"the CUDA driver refused {name}: {reason} (error {status})"
    raise RunError(explain(what, fix=fix))


def refuse_after_fork() -> None:
    """Errors: RunError in a process forked after this module had started CUDA."""
    if _started_in is not None and _started_in != os.getpid():
        raise RunError(explain(_FORKED[0], fix=_FORKED[1]))
