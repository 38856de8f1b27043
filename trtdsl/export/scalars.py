"""Whole numbers that a module keeps in small buffers, as numbers that are known.

torch.export takes a buffer for a value that may change: a kernel size in one, which the module
makes a size of or asks about, then stops it. What the ``state_dict`` leaves out is no weight. While
a module is exported it reads such a buffer as ``torch.tensor(n)``, whose value is followed: a
number, or a few of them, such as the sizes of images.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from trtdsl.errors import ConversionError, explain

__all__ = ["known_scalars"]

_MOST = 32
"""So many elements a buffer of a rank above 0 has at most that is read so."""


class _Buffers(dict[str, torch.Tensor | None]):
    """A module's buffers, and numbers that are read as if they were among them."""

    def __init__(self, buffers: dict[str, torch.Tensor | None], numbers: set[str]) -> None:
        super().__init__({k: v for k, v in buffers.items() if k not in numbers})
        self.numbers = {k: v for k, v in buffers.items() if k in numbers and v is not None}
        self.read: list[tuple[str, torch.Tensor]] = []

    def __contains__(self, name: object) -> bool:
        return name in self.numbers or super().__contains__(name)

    def __getitem__(self, name: str) -> torch.Tensor | None:
        if name not in self.numbers:
            return super().__getitem__(name)
        value = self.numbers[name]
        number = torch.tensor(value.tolist(), dtype=value.dtype, device=value.device)
        self.read.append((name, number))
        return number

    def __setitem__(self, name: str, value: torch.Tensor | None) -> None:
        if name in self.numbers:
            raise _changed(name)
        super().__setitem__(name, value)


@contextmanager
def known_scalars(model: nn.Module) -> Iterator[None]:
    """Inside, a few integers and bools outside of the ``state_dict`` are known.

    The module's attributes are restored by who calls this. Errors: ConversionError where the
    module changes one of them.
    """
    changed = []
    for module in model.modules():
        own = module._non_persistent_buffers_set & module._buffers.keys()
        numbers = {name for name in own if _is_number(module._buffers[name])}
        if numbers:
            module._buffers = _Buffers(module._buffers, numbers)
            changed.append(module._buffers)
    yield
    for name, number in (read for buffers in changed for read in buffers.read):
        if number._version:
            raise _changed(name)


def _is_number(x: torch.Tensor | None) -> bool:
    if x is None or x.is_floating_point() or x.is_complex():
        return False
    return x.dim() == 0 or 0 < x.numel() <= _MOST


def _changed(name: str) -> ConversionError:
    return ConversionError(
        explain(
            f"the model updates {name} in place, and an engine keeps no state between calls",
            fix="return the new value as an output, and pass the old one as an input",
        )
    )
