"""``Range``: how far the values of a tensor reach, gathered batch by batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trtdsl.errors import RunError

if TYPE_CHECKING:
    import torch

__all__ = ["STEPS", "Range"]

STEPS = 127
"""The largest step of int8 that has a negative."""
_BINS = 2048
_CANDIDATES = 100


class Range:
    """A histogram of magnitudes, whose last bin ends at a power of two times the first batch's."""

    def __init__(self) -> None:
        self.top = 0.0
        self.largest = 0.0
        self.counts: torch.Tensor | None = None

    def add(self, values: torch.Tensor) -> None:
        """Count one more tensor. Errors: RunError for values that are not finite."""
        import torch

        sizes = values.detach().float().abs().flatten()
        largest = float(sizes.max()) if sizes.numel() else 0.0
        if not largest < float("inf"):
            raise RunError("a calibration batch gives values that are not finite")
        if self.counts is None:
            self.counts = torch.zeros(_BINS, dtype=torch.float64, device=values.device)
        self.largest = max(self.largest, largest)
        self.top = self.top or largest
        while largest > self.top:
            pairs = self.counts.reshape(-1, 2).sum(1)
            self.counts = torch.cat([pairs, torch.zeros_like(pairs)])
            self.top *= 2
        if self.top:
            self.counts += torch.histc(sizes, _BINS, 0, self.top).to(self.counts)

    def limit(self) -> float:
        """The magnitude up to which int8 has the least mean squared error; 0 for zeros alone.

        What is beyond is clamped to it, so that what is within has smaller steps.
        """
        import torch

        if self.counts is None or not self.largest:
            return 0.0
        centers = (torch.arange(_BINS).to(self.counts) + 0.5) * (self.top / _BINS)
        fractions = torch.arange(1, _CANDIDATES + 1).to(self.counts) / _CANDIDATES
        limits = (fractions * self.largest)[:, None]
        steps = limits / STEPS
        rounded = (centers / steps).round().clamp(max=STEPS) * steps
        errors = ((rounded - centers).square() * self.counts).sum(1)
        return float(limits[errors.argmin()])
