"""Fixtures of the GPU tests."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Callable, Iterator
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


@pytest.fixture(autouse=True)
def current_device(tensorrt: None) -> Iterator[None]:
    """No test leaves another device current than it found, nor do the engines that it drops."""
    import torch

    before = torch.cuda.current_device()
    yield
    if torch.cuda.device_count() > 1:
        gc.collect()
    assert torch.cuda.current_device() == before


@pytest.fixture
def record() -> Callable[..., None]:
    """Keep numbers that a test has measured, in ``$TRTDSL_RECORD`` where that is set."""

    def write(**numbers: Any) -> None:
        if place := os.environ.get("TRTDSL_RECORD"):
            with Path(place).open("a") as file:
                file.write(json.dumps(numbers) + "\n")

    return write
