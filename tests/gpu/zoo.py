"""The models of ``tests/models``, as one table: torchvision's, hand-written ones, and the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.models import small, vision, zoo
from tests.models.row import Example, Row

__all__ = ["MODELS"]


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A model with one example of positional inputs, to be built as a ``Row`` is."""

    make: Callable[[], tuple[Any, tuple[Any, ...]]]

    def build(self) -> Example:
        model, inputs = self.make()
        return Example(model=model, calls=((inputs, {}),), dynamic_shapes=None)


MODELS: dict[str, Row | Fixed] = {
    **{name: Fixed(make=make) for name, make in {**vision.MODELS, **small.MODELS}.items()},
    **zoo.SMALL,
    **{f"{name}@real": row for name, row in zoo.REAL.items()},
}
"""By name; ``@real`` marks the published sizes."""
