"""The file of results: a list of records, each one run of one benchmark."""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["append", "read"]

_NUMBERS = re.compile(r"\[[-+.,\deE\s]+\]")
"""Lists of numbers, which go on one line."""


def read(path: Path) -> list[dict[str, Any]]:
    """The records of a file, oldest first; none where there is no file.

    Errors: ValueError when it is no file of this harness.
    """
    if not path.exists():
        return []
    try:
        records = json.loads(path.read_text())["records"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no records of this harness; name another file") from error
    return list(records)


def append(path: Path, before: list[dict[str, Any]], record: dict[str, Any]) -> None:
    """Write the records and one more, in one step: a run that is cut short leaves a whole file."""
    text = json.dumps({"records": [*before, record]}, indent=1, allow_nan=False) + "\n"
    text = _NUMBERS.sub(lambda found: " ".join(found[0].split()), text)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
