"""Fixtures of the GPU tests."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trtdsl.tensorrt_api import why_unavailable


@pytest.fixture(autouse=True)
def tensorrt() -> None:
    """Skip, and say why, where no engine can be built."""
    reason = why_unavailable()
    if reason is not None:
        pytest.skip(reason.splitlines()[0])


@pytest.fixture
def record() -> Callable[..., None]:
    """Keep numbers that a test has measured, in ``$TRTDSL_RECORD`` where that is set."""

    def write(**numbers: Any) -> None:
        if place := os.environ.get("TRTDSL_RECORD"):
            with Path(place).open("a") as file:
                file.write(json.dumps(numbers) + "\n")

    return write
