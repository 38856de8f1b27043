"""``trtdsl.cache``: whole entries or none, from several processes, in limited room."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from trtdsl import cache
from trtdsl.cache import CacheWarning, Store, configured, default_place
from trtdsl.cli import app

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
ROOT = Path(__file__).parents[1]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache", limit=10_000)


def put(store: Store, key: str, content: bytes, kind: str = "engine") -> None:
    store.update(kind, key, f"entry {key[0]}", lambda _: content)


def test_what_is_written_is_read(store: Store) -> None:
    assert store.read("engine", A) is None
    put(store, A, b"one\ntwo")
    assert store.read("engine", A) == b"one\ntwo"
    assert store.read("timing", A) is None
    put(store, A, b"")
    assert store.read("engine", A) == b""


def test_the_directory_is_its_users_own(store: Store) -> None:
    put(store, A, b"x")
    for place in (store.root, store.root / "engine"):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    store.root.chmod(0o777)
    with pytest.warns(CacheWarning, match="mode 777, and engines are code: chmod 700"):
        assert store.read("engine", A) is None
    with pytest.warns(CacheWarning, match="nothing was written"):
        put(store, B, b"y")
    store.root.chmod(0o755)
    assert store.read("engine", A) == b"x"


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda data: data[:-1], "holds 4 bytes, and says 5"),
        (lambda data: data[:-1] + b"!", "its digest is another"),
        (lambda data: b"", "no entry of trtdsl-cache/1"),
        (lambda data: data.replace(b"cache/1", b"cache/0"), "no entry of"),
        (lambda data: data.replace(b'"size"', b'"sice"'), "lacks what an entry's has"),
        (lambda data: b"[" * 100_000 + b"\n", "no entry of"),
        (lambda data: os.urandom(200), "no entry of"),
    ],
)
def test_damage_is_a_warning_and_the_next_write_mends_it(
    store: Store, damage: object, reason: str
) -> None:
    assert callable(damage)
    put(store, A, b"whole")
    path = store.root / "engine" / A
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(CacheWarning, match=reason):
        assert store.read("engine", A) is None
    with pytest.warns(CacheWarning, match=reason):
        put(store, A, b"again")
    assert store.read("engine", A) == b"again"


def test_a_place_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = Store(tmp_path / "file" / "cache", limit=1000)
    with pytest.warns(CacheWarning, match="nothing was written"):
        put(store, A, b"x")
    assert store.entries() == []


def test_what_was_used_longest_ago_makes_room(store: Store) -> None:
    for age, key in enumerate((A, B, C)):
        put(store, key, bytes(3000))
        os.utime(store.root / "engine" / key, (1000 + age, 1000 + age))
    assert store.read("engine", A) is not None  # now the one used last
    put(store, "d" * 64, bytes(3000))
    assert {entry.key[0] for entry in store.entries()} == {"a", "c", "d"}
    with pytest.warns(CacheWarning, match=r"bytes are more than its limit of 10,000"):
        put(store, "e" * 64, bytes(10_000))
    assert len(store.entries()) == 3


def test_update_sees_what_is_there(store: Store) -> None:
    for _ in range(3):
        store.update("timing", A, "counted", lambda now: (now or b"") + b"+")
    assert store.read("timing", A) == b"+++"
    store.update("timing", A, "left", lambda now: None)
    assert store.read("timing", A) == b"+++"


def test_names_that_lead_elsewhere_are_refused(store: Store) -> None:
    for kind, key in (("engine", "../x"), ("../engine", A), ("engine", "A" * 64)):
        with pytest.raises(ValueError, match="no name of an entry"):
            store.read(kind, key)


def test_the_variable_moves_the_cache_or_turns_it_off(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TRTDSL_CACHE", raising=False)
    assert default_place() is not None
    assert "trtdsl" in str(default_place())
    monkeypatch.setenv("TRTDSL_CACHE", str(tmp_path))
    assert default_place() == tmp_path
    for word in ("off", "OFF", "0", "no"):
        monkeypatch.setenv("TRTDSL_CACHE", word)
        assert default_place() is None
        assert configured(True, 1) is None
    moved = configured(tmp_path / "own", 7)
    assert moved is not None
    assert (moved.root, moved.limit) == (tmp_path / "own", 7)
    assert configured(False, 1) is None


WRITER = """
import sys, os
from pathlib import Path
from trtdsl.cache import Store
store, me = Store(Path(sys.argv[1]), limit=10**9), sys.argv[2]
print("ready", flush=True)
for i in range(int(sys.argv[3])):
    store.update("timing", "a" * 64, "shared", lambda now: (now or b"") + me.encode())
    content = (me * 200_000).encode()
    store.update("engine", "b" * 64, me, lambda _: content)
    found = store.read("engine", "b" * 64)
    assert found is not None and len(found) == 200_000 and len(set(found)) == 1, "torn"
print("done", flush=True)
"""


def start(place: Path, name: str, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "error", "-c", WRITER, str(place), name, str(rounds)]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=-1, stderr=-1)


def test_processes_that_write_at_once_lose_nothing_and_tear_nothing(store: Store) -> None:
    writers = [start(store.root, name, 25) for name in "wxyz"]
    for writer in writers:
        said, failed = writer.communicate(timeout=120)
        assert (writer.returncode, said) == (0, "ready\ndone\n"), failed
    counted = store.read("timing", A)
    assert counted is not None
    assert {name: counted.count(name.encode()) for name in "wxyz"} == dict.fromkeys("wxyz", 25)


def test_a_writer_that_is_killed_leaves_nothing_half_written(store: Store) -> None:
    killed = 0
    for _ in range(3):
        writer = start(store.root, "w", 10**9)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        with pytest.raises(subprocess.TimeoutExpired):
            writer.wait(timeout=0.2)
        writer.send_signal(signal.SIGKILL)
        writer.communicate(timeout=60)
        killed += writer.returncode == -signal.SIGKILL
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = Store(store.root, limit=10**9).read("engine", B)
        assert found in (None, b"w" * 200_000)
    assert killed == 3
    put(Store(store.root, limit=10**9), C, b"next")  # neither held up by a lock nor by parts
    assert not list(store.root.rglob(f"*{cache._PART}"))


def test_parts_of_a_dead_writer_are_removed(store: Store) -> None:
    put(store, A, b"x")
    part = store.root / "engine" / f"{B}.123-abc{cache._PART}"
    part.write_bytes(b"half")
    assert [entry.key for entry in store.entries()] == [A]
    put(store, C, b"y")
    assert not part.exists()


def test_a_lock_that_is_held_is_a_warning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from filelock import FileLock

    put(store, A, b"x")
    monkeypatch.setattr(cache, "_PATIENCE", 0)
    with (
        FileLock(store.root / ".lock"),
        pytest.warns(CacheWarning, match="another process has held its lock"),
    ):
        put(store, B, b"y")
    assert store.read("engine", B) is None


def test_the_command_line_lists_and_clears(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRTDSL_CACHE", str(store.root))
    monkeypatch.setattr("trtdsl.cli_cache._OUT", Console(width=200))
    put(store, A, bytes(2000))
    put(store, B, b"t", kind="timing")
    (store.root / "engine" / C).write_bytes(b"foreign")
    other = store.root / "engine" / "notes.txt"
    other.write_text("mine")
    listed = CliRunner().invoke(app, ["cache", "ls"])
    assert listed.exit_code == 0, listed.output
    for word in ("entry a", "entry b", "damaged: it is no entry", "3 entries", "aaaaaaaaaaaa"):
        assert word in listed.output
    cleared = CliRunner().invoke(app, ["cache", "clear"])
    assert cleared.exit_code == 0, cleared.output
    assert "freed 2." in cleared.output
    assert store.entries() == []
    assert other.read_text() == "mine"
    monkeypatch.setenv("TRTDSL_CACHE", "off")
    assert "the cache is off" in CliRunner().invoke(app, ["cache", "ls"]).output
