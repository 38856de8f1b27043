"""Ctrl-C during a build.

A build is one call into C++ that lasts minutes, and while the main thread is in it Python handles
no signal. So the call runs in a thread of its own, and the main thread waits for it where Ctrl-C
reaches it. Builds hold no lock of Python's meanwhile (pybind11's gil_scoped_release).

TensorRT 10 and later are then told to stop, and do at the next step (IProgressMonitor). TensorRT
8.6 has no way to stop a build: it is waited for, and a second Ctrl-C ends the process. Either way
nothing is half-written, for a file appears by its name only once it is whole.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["run"]

T = TypeVar("T")

_WAITS = (
    "This TensorRT cannot stop a build: it is waited for. Ctrl-C again ends this process at once; "
    "no file is left half-written.\n"
)
_STOPS = "Stopping the build; Ctrl-C again ends this process at once.\n"


def run(work: Callable[[], T], stopped: threading.Event, *, stops: bool) -> T:
    """What ``work()`` gives, or raises; Ctrl-C sets ``stopped`` and raises KeyboardInterrupt.

    ``stops``: whether the work ends early once ``stopped`` is set; it is waited for in any case.
    Signals reach the main thread only, so in any other, and where SIGINT is ignored, the work is
    done as it is.
    """
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not main or not callable(before):
        return work()

    def interrupt(signum: int, frame: object) -> None:
        if stopped.is_set():
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGINT)
        stopped.set()
        sys.stderr.write(_STOPS if stops else _WAITS)

    worker = _Worker(work)
    signal.signal(signal.SIGINT, interrupt)
    try:
        worker.start()
        worker.done.wait()
    finally:
        signal.signal(signal.SIGINT, before)
    if stopped.is_set():
        before(signal.SIGINT, None)
        raise KeyboardInterrupt
    return worker.result()


class _Worker(threading.Thread, Generic[T]):
    """A thread that works in the CUDA context of the one that made it."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="trtdsl-build")
        self._work = work
        self.done = threading.Event()  # an interrupted join() takes the thread for dead
        self._context = _context()
        self._results: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            if self._context is not None:
                from trtdsl.runtime.driver import call

                call("cuCtxSetCurrent", ctypes.c_void_p(self._context))
            self._results.append(self._work())
        except BaseException as error:
            self._error = error
        finally:
            self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._results[0]


def _context() -> int | None:
    """The CUDA context that is current here, if there is a driver at all."""
    from trtdsl.errors import UnavailableError
    from trtdsl.runtime.device import current_context

    try:
        return current_context()
    except UnavailableError:
        return None
