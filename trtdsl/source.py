"""``Source``: where in the user's model a layer comes from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import PurePath

__all__ = ["Source"]

_FRAME = re.compile(
    r'File "(?P<file>[^"]+)", line (?P<line>\d+), in (?P<function>.+)\n(?:[ \t]+(?P<code>\S.*))?'
)


_TRTDSL = PurePath(__file__).parent
_GENERATED = ("<string>", "<eval_with_key>")
"""How the files are called that PyTorch makes up for code it writes."""


@cache
def _torch() -> PurePath:
    """Where PyTorch is installed, found without importing it."""
    spec = find_spec("torch")
    return PurePath(spec.origin).parent if spec and spec.origin else PurePath("torch")


def _is_users(file: PurePath) -> bool:
    return not file.is_relative_to(_torch()) and file.parent != _TRTDSL


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
        own = [f for f in frames if _is_users(PurePath(f["file"]))] or frames
        if not own:
            return ""
        frame = own[-1]
        return (
            f"{frame['file']}:{frame['line']}, {frame['function']}: {(frame['code'] or '').strip()}"
        )

    def __str__(self) -> str:
        module = f"module {self.module}" if self.module else ""
        return ", ".join(part for part in (self.operator, module, self.line) if part)
