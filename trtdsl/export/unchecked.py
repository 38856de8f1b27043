"""``unchecked``: the warning that an engine does not look at what a model says of values."""

from __future__ import annotations

import warnings

from trtdsl.errors import explain

__all__ = ["UncheckedWarning", "unchecked"]


class UncheckedWarning(UserWarning):
    """The model asserts something about values, and an engine runs without looking."""


def unchecked(what: str, place: str) -> None:
    """Warn of a demand of the model's, at a line of it, that an engine does not make."""
    warnings.warn(
        explain(
            f"{what}; an engine does not check it, and computes with what it is given",
            at=place,
            fix="check the inputs before the engine runs, and filter this UncheckedWarning",
        ),
        UncheckedWarning,
        stacklevel=2,
    )
