"""Models of transformers and diffusers, by the names of their classes, without a download."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from torch import nn

from tests.models import vision_operators

__all__ = ["diffuser", "transformer"]

assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"


def transformer(name: str, config: str, **values: Any) -> Callable[[], nn.Module]:
    """What makes ``transformers.<name>`` from its configuration."""

    def make() -> nn.Module:
        transformers = importlib.import_module("transformers")
        model: nn.Module = getattr(transformers, name)(getattr(transformers, config)(**values))
        return model

    return make


def diffuser(name: str, **values: Any) -> Callable[[], nn.Module]:
    """What makes ``diffusers.<name>``."""

    def make() -> nn.Module:
        model: nn.Module = getattr(importlib.import_module("diffusers"), name)(**values)
        return model

    return make
