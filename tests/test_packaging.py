"""The package that is installed: what it holds, and what it asks for."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_on_disk_is_listed() -> None:
    listed = PROJECT["tool"]["setuptools"]["packages"]
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for top in ("trtdsl", "layers", "plugins")
        for path in (ROOT / top).rglob("__init__.py")
    }
    mapped = {f"trtdsl.{n}" if n.split(".")[0] in ("layers", "plugins") else n for n in on_disk}
    assert set(listed) == mapped
    assert len(listed) == len(set(listed))


def test_the_console_script_has_its_target() -> None:
    module, _, name = PROJECT["project"]["scripts"]["trtdsl"].partition(":")
    assert callable(getattr(importlib.import_module(module), name))


def test_every_dependency_is_pinned() -> None:
    pins = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    asked = [*project["dependencies"], *(d for e in ("onnx", "examples", "dev") for d in extras[e])]
    names = {re.split(r"[<>=\[ ]", d)[0].lower() for d in asked} - {"trtdsl"}
    assert names - pins == set()
    assert {"torch", "numpy", "torchvision"} <= pins


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of a copy of the checkout: a build leaves its droppings where it runs."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("trtdsl", "layers", "plugins", "tests/standin"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "-w", str(out), str(source)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("trtdsl-*.whl")
    return built


def test_the_wheel_holds_the_packages_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(n for n in names if n.endswith("METADATA"))).decode()
    tops = {name.split("/")[0] for name in names}
    assert tops == {"trtdsl", f"trtdsl-{PROJECT['project']['version']}.dist-info"}
    assert {"trtdsl/py.typed", "trtdsl/layers/__init__.py", "trtdsl/plugins/__init__.py"} <= names
    for folder, package in (("layers", "trtdsl/layers"), ("trtdsl/ir", "trtdsl/ir")):
        files = {f"{package}/{path.name}" for path in (ROOT / folder).glob("*.py")}
        assert files <= names
    kernels = {f"trtdsl/plugins/{path.name}" for path in (ROOT / "plugins").glob("*.cu")}
    assert kernels
    assert kernels <= names
    assert "License-Expression: Apache-2.0" in metadata
