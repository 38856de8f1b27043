"""The habits of the house: caps, public names, docstrings, imports."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LIBRARY = sorted(
    path for top in ("trtdsl", "layers", "plugins") for path in (ROOT / top).rglob("*.py")
)
ALL = LIBRARY + sorted(
    p for top in ("tests", "examples", "benchmarks") for p in (ROOT / top).rglob("*.py")
)
MODULES = [path for path in LIBRARY if path.name != "__init__.py"]
MAX_LINES, MAX_FUNCTION = 400, 40
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
DATA_FOLDERS = ("tests/cases",)
"""Tables of cases: their length is their virtue."""


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(tree: ast.AST) -> Iterator[FUNCTION]:
    return (node for node in ast.walk(tree) if isinstance(node, FUNCTION))


def body_lines(function: FUNCTION) -> int:
    """Lines of a function from its ``def``, without its docstring."""
    start = min([function.lineno, *(d.lineno for d in function.decorator_list)])
    lines = (function.end_lineno or start) - start + 1
    first = function.body[0]
    if ast.get_docstring(function) is not None:
        lines -= (first.end_lineno or first.lineno) - first.lineno + 1
    return lines


def exported(tree: ast.Module) -> list[str] | None:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            value: list[str] = ast.literal_eval(node.value)
            return value
    return None


@pytest.mark.parametrize("path", ALL, ids=name)
def test_files_are_short_and_ascii(path: Path) -> None:
    text = path.read_bytes()
    assert text.isascii()
    lines = sum(1 for line in text.decode().splitlines() if line.strip())
    if not name(path).startswith(DATA_FOLDERS):
        assert lines <= MAX_LINES, f"{lines} lines that are not blank"


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_functions_are_short(path: Path) -> None:
    tree = ast.parse(path.read_text())
    long = {f.name: body_lines(f) for f in functions(tree) if body_lines(f) > MAX_FUNCTION}
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_public_names_are_those_listed_and_documented(path: Path) -> None:
    """``__all__`` has each public function and class; converters and commands are registered."""
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), "a module says what it is for"
    defined = {n.name: n for n in tree.body if isinstance(n, FUNCTION | ast.ClassDef)}
    public = {n for n, node in defined.items() if not n.startswith("_") and not registered(node)}
    listed = exported(tree) or []
    assert public <= set(listed), "public, and not in __all__"
    assert len(listed) == len(set(listed))
    bound = set(defined) | set(assigned(tree)) | set(imported(tree))
    assert set(listed) <= bound, "in __all__, and not there"
    bare = [n for n in listed if n in defined and not ast.get_docstring(defined[n])]
    assert not bare, "public without a docstring"


def registered(node: FUNCTION | ast.ClassDef) -> bool:
    return any(ast.unparse(d).startswith(("converter(", "app.")) for d in node.decorator_list)


def assigned(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        targets = [node.target] if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [])
        yield from (ast.unparse(target) for target in targets)


def imported(tree: ast.Module) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom | ast.Import):
            yield from (alias.asname or alias.name for alias in node.names)


def test_the_package_s_public_names_are_all_there() -> None:
    import trtdsl

    assert sorted(trtdsl.__all__) == trtdsl.__all__
    for public in trtdsl.__all__:
        assert getattr(trtdsl, public).__doc__, public


def test_what_the_public_classes_have_is_documented() -> None:
    import trtdsl

    classes = [c for n in trtdsl.__all__ if inspect.isclass(c := getattr(trtdsl, n))]
    members = [(c, n, m) for c in classes for n, m in vars(c).items() if not n.startswith("_")]
    bare = [
        f"{c.__name__}.{n}"
        for c, n, m in members
        if isinstance(m, property | classmethod | staticmethod) or inspect.isfunction(m)
        if not inspect.getdoc(m)
    ]
    assert not bare


def test_importing_the_package_imports_neither_torch_nor_tensorrt() -> None:
    code = "import sys, trtdsl; print({'torch', 'tensorrt', 'pycuda'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "set()\n", done.stderr


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_tensorrt_and_pycuda_are_imported_inside_functions(path: Path) -> None:
    top = {n.partition(".")[0] for n in imported(ast.parse(path.read_text()))}
    sources = {
        (node.module or "").partition(".")[0]
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom)
    }
    assert not {"tensorrt", "pycuda"} & (top | sources)


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_tensorrt_api_asks_what_a_release_has(path: Path) -> None:
    if path.parent.name == "tensorrt_api":
        return
    asks = r"hasattr\(\s*[\w.]*\btrt\b|getattr\(\s*[\w.]*\btrt\b[^)]*\), None|__version__\.\w"
    assert not re.findall(asks, path.read_text())


@pytest.mark.parametrize("path", LIBRARY, ids=name)
def test_the_library_does_not_print(path: Path) -> None:
    assert not list(calls(path, "print"))


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=name)
def test_tests_do_not_sleep(path: Path) -> None:
    assert not list(calls(path, "time.sleep", "sleep"))


def calls(path: Path, *names: str) -> Iterator[int]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            yield node.lineno
