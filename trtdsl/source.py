"""``Source``: where in the user's model a layer comes from; whose a source file is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import PurePath

__all__ = ["Source", "is_ours", "is_users"]

_FRAME = re.compile(
    r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)\n(?:[ \t]+(?P<code>\S.*))?'
)


_PACKAGES = "trtdsl", "trtdsl.layers", "trtdsl.plugins"
_GENERATED = ("<string>", "<eval_with_key>")
"""How the files are called that PyTorch makes up for code it writes."""


@cache
def _folders(package: str) -> tuple[PurePath, ...]:
    """Where a package is installed, found without importing it."""
    spec = find_spec(package)
    return tuple(map(PurePath, (spec and spec.submodule_search_locations) or ()))


@cache
def is_ours(file: str) -> bool:
    """Whether a source file is one of trtdsl's, converters and plugins among them."""
    folders = [f for p in _PACKAGES for f in _folders(p)]
    return any(map(PurePath(file).is_relative_to, folders))


@cache
def is_users(file: str) -> bool:
    """Whether a source file is neither trtdsl's nor PyTorch's."""
    return not is_ours(file) and not any(map(PurePath(file).is_relative_to, _folders("torch")))


@dataclass(frozen=True, kw_only=True)
class Source:
    """The module, operator and line of Python that a layer comes from."""

    module: str = ""
    """The dotted path of the submodule, as in ``state_dict`` keys: ``layer1.0.conv1``."""
    operator: str = ""
    """The ATen operator: ``aten.conv2d.default``."""
    stack: str = ""
    """The Python stack, as ``traceback`` prints it, innermost frame last."""

    @property
    def line(self) -> str:
        """``file.py:88, forward: self.conv(x)``: the innermost frame outside of PyTorch."""
        frames = [f for f in _FRAME.finditer(self.stack) if not f["file"].startswith(_GENERATED)]
        frames = [f for f in frames if not is_ours(f["file"])]
        own = [f for f in frames if is_users(f["file"])] or frames
        if not own:
            return ""
        frame = own[-1]
        return (
            f"{frame['file']}:{frame['line']}, {frame['function']}: {(frame['code'] or '').strip()}"
        )

    def __str__(self) -> str:
        module = f"module {self.module}" if self.module else ""
        return ", ".join(part for part in (self.operator, module, self.line) if part)
