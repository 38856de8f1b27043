"""Whether TensorRT kept to the types that a network asks for, read from the engine that it built.

A strongly typed network needs no such question. TensorRT 8.6 has none: there the types are imposed
layer by layer, and the engine is asked whether they held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trtdsl.ir.cast import Cast
from trtdsl.network import Network, Operation
from trtdsl.types import DType

__all__ = ["PrecisionWarning", "unheld"]

_WORDS = {DType.FLOAT32: "FP32", DType.FLOAT16: "FP16"}


class PrecisionWarning(UserWarning):
    """TensorRT computes layers in another precision than the network asks for."""


def unheld(network: Network, described: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each layer of an engine whose output has another float type than its operations'.

    ``described`` is what ``Engine.inspect`` gives. Layers that TensorRT made itself (reformats) or
    that hide what is in them (the regions of its graph compiler) say nothing, and are passed over.
    So are casts: they compute nothing, and TensorRT moves them into the layers around.
    """
    operations = {operation.name: operation for operation in network.operations}
    lines = []
    for layer in described:
        parts = [operations.get(name) for name in str(layer["Name"]).split(" + ")]
        wanted = _dtype(parts)
        formats = [str(output.get("Format/Datatype")) for output in layer.get("Outputs", ())]
        other = [w for d, w in _WORDS.items() if wanted is not None and d is not wanted]
        if any(word in text for text in formats for word in other):
            lines.append(f"{layer['Name']}: {wanted.value if wanted else ''} as {formats[0]}")
    return lines


def _dtype(parts: Sequence[Operation | None]) -> DType | None:
    """The one float type that the last of these operations gives; None where any is unknown."""
    if not parts or any(part is None for part in parts):
        return None
    last = parts[-1]
    assert last is not None
    if isinstance(last.layer, Cast):
        return None
    dtypes = {x.dtype for x in last.outputs}
    dtype = dtypes.pop() if len(dtypes) == 1 else None
    return dtype if dtype in _WORDS else None
