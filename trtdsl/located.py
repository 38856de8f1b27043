"""Where an error of a walk arose: the node, its converter, and the line of the user's model."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from torch.fx import Node

from trtdsl.errors import ConversionError, TrtdslError, explain
from trtdsl.registry import Converter
from trtdsl.source import Source

__all__ = ["carried", "explained", "located"]


@contextmanager
def carried(node: Node) -> Iterator[None]:
    """An error that comes out carries the node: of those around it, the outermost."""
    try:
        yield
    except ConversionError as error:
        error.node = node
        raise


@contextmanager
def explained(node: Node, converter: Converter) -> Iterator[None]:
    """What a converter raises that is no error of trtdsl's says whose converter it was."""
    try:
        yield
    except TrtdslError:
        raise
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        code = getattr(converter.function, "__code__", None)
        place = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        raise ConversionError(
            explain(
                f"the converter of {node.target}{place} fails: {type(error).__name__}: {error}",
                fix="correct the converter, or report it where it is one of trtdsl's own; it "
                f"raised in {frame.filename}:{frame.lineno}: {frame.line}",
            )
        ) from error


@contextmanager
def located(source: Source) -> Iterator[None]:
    """An error that comes out says where in the user's model it arose."""
    try:
        yield
    except TrtdslError as error:
        if "\n  at:  " in str(error):
            raise
        what, _, fix = str(error).partition("\n  fix: ")
        raise type(error)(explain(what, at=str(source), fix=fix)) from error
