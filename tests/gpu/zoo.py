"""The models of ``tests/models``, as one table."""

from __future__ import annotations

from tests.models import small, vision

MODELS = {**vision.MODELS, **small.MODELS}
