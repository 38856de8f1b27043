"""Progress of builds and Ctrl-C: what a bar is told, and processes that are interrupted."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import standin
from trtdsl import build as build_module
from trtdsl.build import BuildOptions, build
from trtdsl.errors import BuildError
from trtdsl.interruptible import run
from trtdsl.network import Network
from trtdsl.progress import Bar, LogReader, _drawn, reported

ROOT = Path(__file__).parents[1]
# Of TensorRT 8.6's verbose log.
LOG = """\
Original: 7 layers
After dead-layer removal: 7 layers
After Myelin optimization: 3 layers
After concat removal: 2 layers
Trying to split Reshape and strided tensor
Constructing optimization profile number 0 [1/2].
=============== Computing costs for conv1 + relu
*************** Autotuning format combination: Float(1,1) -> Float(1,1) ***************
--------------- Timing Runner: conv1 + relu (CaskConvolution[0x80000009])
=============== Computing costs for fc
Constructing optimization profile number 1 [2/2].
=============== Computing costs for conv1 + relu
=============== Computing costs for fc
=============== Computing costs for a layer too many
Formats and tactics selection completed in 5.2 seconds.
Engine generation completed in 5.9 seconds.
"""


class Drawn:
    """What a bar draws."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []
        self.bar = Bar(lambda *shown: self.lines.append(shown), lambda p: self.lines.append((p,)))


def test_the_log_of_8_6_is_read() -> None:
    drawn = Drawn()
    reader = LogReader(drawn.bar)
    for line in LOG.splitlines():
        reader(line)
    timing = [(done, steps) for name, done, steps in (x for x in drawn.lines if len(x) == 3)]
    assert timing == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4), (4, 4), (0, 1)]
    assert ("timing layers",) in drawn.lines


def test_steps_of_a_phase_that_is_over_draw_nothing() -> None:
    drawn = Drawn()
    drawn.bar.step("early", 1)
    drawn.bar.start("phase", 2)
    drawn.bar.step("phase", 9)
    drawn.bar.finish("phase")
    drawn.bar.finish("phase")
    drawn.bar.step("phase", 1)
    assert drawn.lines == [("phase", 0, 2), ("phase", 2, 2), ("phase",)]


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_each_release_is_asked_in_its_own_way(
    version: str, building: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    from trtdsl.runtime.logger import tensorrt_logger

    trt, drawn = building(version), Drawn()
    monkeypatch.setattr("trtdsl.progress._drawn", lambda progress: nullcontext(drawn.bar))
    config = trt.Builder(tensorrt_logger()).create_builder_config()
    stopped = threading.Event()
    with reported(trt, config, stopped, progress=None) as stops:
        if version.startswith("8."):
            tensorrt_logger().log(trt.ILogger.VERBOSE, "=============== Computing costs for conv")
            assert [line[0] for line in drawn.lines] == ["timing layers"] * 2
            return
        monitor = config.progress_monitor
        monitor.phase_start("tactics", None, 4)
        assert monitor.step_complete("tactics", 0) is True
        stopped.set()
        assert monitor.step_complete("tactics", 1) is False
        monitor.phase_finish("tactics")
    assert stops
    assert config.progress_monitor is None
    counts = [("tactics", 0, 4), ("tactics", 1, 4), ("tactics", 2, 4), ("tactics",)]
    assert drawn.lines == counts


def test_a_bar_is_drawn_where_it_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    with _drawn(False) as bar:
        assert bar is None
    with _drawn(None) as bar:
        assert bar is None, "standard error is no terminal here"
    with _drawn(True) as bar:
        assert bar is not None
        bar.start("choosing tactics", 3)
        bar.step("choosing tactics", 2)
        bar.finish("choosing tactics")
    assert capsys.readouterr().err == "choosing tactics: 3 steps\n"


def test_a_terminal_shows_a_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    with _drawn(None) as bar:
        assert bar is not None
        bar.start("choosing tactics", 3)
        bar.step("choosing tactics", 2)
    assert "choosing tactics" in (said := capsys.readouterr().err)
    assert "2/3" in said


def test_what_the_work_gives_or_raises_comes_through() -> None:
    def fail() -> None:
        raise BuildError("no kernel")

    assert run(lambda: threading.current_thread().name, threading.Event(), stops=True) != (
        threading.current_thread().name
    )
    with pytest.raises(BuildError, match="no kernel"):
        run(fail, threading.Event(), stops=False)


def test_other_threads_work_themselves() -> None:
    names: list[str] = []

    def work() -> None:
        names.append(run(lambda: threading.current_thread().name, threading.Event(), stops=True))

    thread = threading.Thread(target=work, name="own")
    thread.start()
    thread.join(timeout=30)
    assert names == ["own"]


SCRIPT = """
import sys, threading
from trtdsl.interruptible import run
stopped, never = threading.Event(), threading.Event()
kind = sys.argv[1]
def work():
    print("working", flush=True)
    if kind == "stops":
        return stopped.wait(60)
    if kind == "waits":
        stopped.wait(60)
        return never.wait(1)
    never.wait(60)
try:
    run(work, stopped, stops=kind == "stops")
except KeyboardInterrupt:
    print("interrupted, work ended", flush=True)
"""


def interrupted(kind: str, times: int) -> tuple[int, str, str]:
    command = [sys.executable, "-u", "-c", SCRIPT, kind]
    process = subprocess.Popen(command, cwd=ROOT, text=True, stdout=-1, stderr=-1)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "working\n"
    said = ""
    for _ in range(times):
        process.send_signal(signal.SIGINT)
        said = said or process.stderr.readline()
    out, err = process.communicate(timeout=60)
    return process.returncode, out, said + err


def test_a_build_that_can_stop_does() -> None:
    code, out, err = interrupted("stops", 1)
    assert (code, out) == (0, "interrupted, work ended\n")
    assert "Stopping the build" in err
    assert "Traceback" not in err


def test_a_build_that_cannot_is_waited_for() -> None:
    code, out, err = interrupted("waits", 1)
    assert (code, out) == (0, "interrupted, work ended\n")
    assert "cannot stop a build: it is waited for" in err


def test_a_second_interrupt_ends_the_process() -> None:
    code, out, _ = interrupted("never", 2)
    assert code == -signal.SIGINT
    assert out == ""


def test_a_build_that_was_stopped_leaves_no_engine(
    building: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building("10.3.0")

    def interrupt(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(build_module.interruptible, "run", interrupt)
    net = Network()
    net.output(net.input("x", (2,)) + 1, "y")
    with pytest.raises(KeyboardInterrupt):
        build(net, BuildOptions(cache=tmp_path))
    assert not list((tmp_path / "engine").glob("*"))
    monkeypatch.undo()
