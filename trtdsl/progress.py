"""How far a build is, as a bar: told by TensorRT 10's progress monitor, read from 8.6's log."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from trtdsl.runtime.logger import listening
from trtdsl.tensorrt_api import has_progress_monitor

__all__ = ["Bar", "LogReader", "reported"]

_LAYERS = re.compile(r"After [\w -]+: (\d+) layers")
_PROFILES = re.compile(r"Constructing optimization profile number \d+ \[\d+/(\d+)\]")
_COSTS = "=============== Computing costs for"
_TIMED = "Formats and tactics selection completed"
_TIMING = "timing layers"
_FINISHING = "finishing"


class Bar:
    """The phases of a build that are under way, with their steps; any thread may tell of them."""

    def __init__(self, show: Callable[[str, int, int], None], hide: Callable[[str], None]) -> None:
        """``show(phase, done, steps)`` and ``hide(phase)`` draw."""
        self._show, self._hide = show, hide
        self._steps: dict[str, int] = {}
        self._lock = threading.Lock()

    def start(self, phase: str, steps: int) -> None:
        with self._lock:
            self._steps[phase] = steps
            self._show(phase, 0, steps)

    def step(self, phase: str, done: int) -> None:
        with self._lock:
            if phase in self._steps:
                self._show(phase, min(done, self._steps[phase]), self._steps[phase])

    def finish(self, phase: str) -> None:
        with self._lock:
            if self._steps.pop(phase, None) is not None:
                self._hide(phase)


class LogReader:
    """Tells a bar what the lines of TensorRT 8.6's verbose log say: it times layer after layer."""

    def __init__(self, bar: Bar) -> None:
        self._bar = bar
        self._layers = 0
        self._profiles = 1
        self._timed = 0

    def __call__(self, line: str) -> None:
        """Read a message of the log."""
        if line.startswith(_COSTS):
            if not self._timed:
                self._bar.start(_TIMING, self._layers * self._profiles)
            self._timed += 1
            self._bar.step(_TIMING, self._timed)
        elif found := _LAYERS.match(line):
            self._layers = int(found[1])
        elif found := _PROFILES.match(line):
            self._profiles = int(found[1])
        elif line.startswith(_TIMED):
            self._bar.finish(_TIMING)
            self._bar.start(_FINISHING, 1)


@contextmanager
def reported(
    trt: Any, config: Any, stopped: threading.Event, *, progress: bool | None
) -> Iterator[bool]:
    """Show how far a build with this configuration is; gives whether it ends once ``stopped``.

    ``progress``: ``None`` shows it where standard error is a terminal.
    Source: IProgressMonitor, from TensorRT 10 on.
    """
    with _drawn(progress) as bar:
        if has_progress_monitor(trt):
            config.progress_monitor = _monitor(trt, bar, stopped)
            try:
                yield True
            finally:
                config.progress_monitor = None
        elif bar is None:
            yield False
        else:
            with listening(LogReader(bar)):
                yield False


def _monitor(trt: Any, bar: Bar | None, stopped: threading.Event) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)  # pybind11 refuses one whose base was not made

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if bar is not None:
                bar.start(phase_name, num_steps)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if bar is not None:
                bar.step(phase_name, step + 1)
            return not stopped.is_set()

        def phase_finish(self, phase_name: str) -> None:
            if bar is not None:
                bar.finish(phase_name)

    return Monitor()


@contextmanager
def _drawn(progress: bool | None) -> Iterator[Bar | None]:
    """A bar on standard error; where that is no terminal, a line as each phase begins."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if progress is False or (progress is None and not console.is_terminal):
        yield None
        return
    if not console.is_terminal:
        yield Bar(partial(_print, console), lambda phase: None)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    )  # fmt: skip
    tasks: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True) as display:

        def show(phase: str, done: int, steps: int) -> None:
            if phase not in tasks:
                tasks[phase] = display.add_task(phase, total=steps)
            display.update(tasks[phase], completed=done, total=steps)

        yield Bar(show, lambda phase: display.remove_task(tasks.pop(phase)))


def _print(console: Any, phase: str, done: int, steps: int) -> None:
    if done == 0:
        console.print(f"{phase}: {steps} steps", markup=False, highlight=False)
