"""``python -m trtdsl`` is the command line."""

from __future__ import annotations

from trtdsl.cli import app

__all__: list[str] = []

app(prog_name="trtdsl")
