"""All tables of whole models as one: ``SMALL`` configurations, and ``REAL`` ones of full size."""

from __future__ import annotations

from tests.models import (
    audio,
    classic,
    detection,
    diffusion,
    language,
    multimodal,
    segmentation,
    steps,
    timm_,
    video,
    yolo,
)
from tests.models.row import Row

__all__ = ["REAL", "SMALL"]

_TABLES = (
    timm_, classic, language, steps, multimodal, audio, detection, segmentation, diffusion, video,
    yolo,
)  # fmt: skip


def _joined(which: str) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    for table in _TABLES:
        for name, row in getattr(table, which, {}).items():
            assert name not in rows, f"{name} is in two tables"
            rows[name] = row
    return rows


SMALL = _joined("SMALL")
REAL = _joined("REAL")
