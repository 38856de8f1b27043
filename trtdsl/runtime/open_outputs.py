"""Outputs whose sizes the inputs' values decide: memory at the moment TensorRT asks for it.

Source: IOutputAllocator, of which each such output has one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from trtdsl.errors import RunError
from trtdsl.manifest import Manifest
from trtdsl.runtime import logger
from trtdsl.runtime.expression import UNKNOWN, symbols_of
from trtdsl.tensorrt_api import import_tensorrt

__all__ = ["Memory", "allocators", "open_outputs"]

Memory: TypeAlias = Callable[[int, int], tuple[int, Any]]
"""For an output's index and a number of bytes: a device address, and what keeps it alive."""


def open_outputs(manifest: Manifest) -> list[int]:
    """The indices of the outputs whose sizes no input's size tells."""

    def symbols(shape: tuple[int | str, ...]) -> frozenset[str]:
        named = (size for size in shape if isinstance(size, str) and size != UNKNOWN)
        return frozenset().union(*map(symbols_of, named))

    told = frozenset().union(*(symbols(spec.shape) for spec in manifest.inputs))
    return [i for i, spec in enumerate(manifest.outputs) if symbols(spec.shape) - told]


def allocators(context: Any, names: Mapping[int, str], memory: Memory) -> dict[int, Any]:
    """An allocator for each of these outputs, known to the execution context.

    After a run ``take`` gives what ``memory`` gave, and the shape.
    """
    base: Any = import_tensorrt().IOutputAllocator

    class Allocator(base):  # type: ignore[misc]
        def __init__(self, index: int) -> None:
            base.__init__(self)
            self.index = index
            self.owner: Any = None
            self.shape: tuple[int, ...] | None = None

        def reallocate_output(self, name: str, _memory: int, size: int, _alignment: int) -> int:
            address, self.owner = memory(self.index, size)
            return address

        def reallocate_output_async(
            self, name: str, memory: int, size: int, alignment: int, _stream: int
        ) -> int:
            return self.reallocate_output(name, memory, size, alignment)

        def notify_shape(self, _name: str, shape: Any) -> None:
            self.shape = tuple(shape)

        def take(self) -> tuple[Any, tuple[int, ...]]:
            owner, shape = self.owner, self.shape
            self.owner = self.shape = None
            if owner is None or shape is None:
                words = "; ".join(logger.last_errors()) or "it gave no reason"
                raise RunError(f"TensorRT gave no output {names[self.index]}: {words}")
            return owner, shape

    made = {index: Allocator(index) for index in names}
    for index, name in names.items():
        if not context.set_output_allocator(name, made[index]):
            raise RunError(f"TensorRT refused an allocator for output {name}")
    return made
