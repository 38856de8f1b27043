"""What the stand-in raises: always a ``StandInError``, and also what TensorRT would raise."""

from __future__ import annotations


class StandInError(AssertionError):
    """The code under test did what this TensorRT release would not allow."""


class MissingNameError(StandInError, AttributeError):
    """A name that the release lacks; an AttributeError too, so ``hasattr`` answers truly."""


class RefusedError(StandInError, TypeError):
    """Arguments or a value that the release's bindings refuse."""


class MismatchError(Exception):
    """A value does not fit a type; turned into a RefusedError by whoever knows class and member."""
