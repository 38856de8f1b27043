"""The README keeps its word: its Python runs, its commands exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from trtdsl.cli import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GPU = "<!-- needs a GPU -->\n"
BLOCK = re.compile(rf"(?P<gpu>{re.escape(GPU)})?```(?P<kind>\w*)\n(?P<code>.*?)```", re.DOTALL)
BLOCKS = list(BLOCK.finditer(README))


def code(kind: str) -> list[tuple[str, bool]]:
    """The blocks of a kind, and whether each needs a GPU."""
    return [(m["code"], m["gpu"] is not None) for m in BLOCKS if m["kind"] == kind]


def test_python_runs(tmp_path: Path) -> None:
    """All blocks that need no GPU, in order, as one script."""
    blocks = [block for block, gpu in code("python") if not gpu]
    assert len(blocks) >= 5
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks))
    done = subprocess.run(
        [sys.executable, "-W", "ignore::trtdsl.ReferenceWarning", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_python_for_a_gpu_compiles() -> None:
    blocks = [block for block, gpu in code("python") if gpu]
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


@pytest.mark.parametrize("first", ["1 operator has no converter", "PyTorch runs 1 of 5 operators"])
def test_errors_are_shown_as_they_are(first: str, tmp_path: Path) -> None:
    """The sample of an error is what the block before it prints, up to the path of the file."""
    (sample,) = (block for block, _ in code("text") if block.startswith(first))
    at = README.index(sample)
    source = [m["code"] for m in BLOCKS if m["kind"] == "python" and m.end() < at][-1]
    script = tmp_path / "warp.py"
    script.write_text(source)
    done = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.replace(f"{tmp_path}/", "") == sample, done.stderr


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = set(re.findall(r"^make ([\w-]+)", "\n".join(c for c, _ in code("sh")), re.MULTILINE))
    assert {"demo", "test"} <= used <= targets


def test_commands_and_options_exist() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    lines = re.findall(r"^trtdsl (.+)$", "\n".join(c for c, _ in code("sh")), re.MULTILINE)
    assert {line.split()[0] for line in lines} == commands.keys()
    for line in lines:
        name, *words = line.partition("#")[0].split()
        known = {option for p in commands[name].params for option in p.opts}
        assert {word for word in words if word.startswith("-")} <= known, line


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
