"""A model's ``state_dict`` as an engine remembers it: keys, dtypes, shapes, what shares memory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trtdsl.errors import RunError, explain

if TYPE_CHECKING:
    import torch

__all__ = ["StateKey", "by_weight"]

_SHOWN = 8
"""So many keys are named in an error."""


@dataclass(frozen=True, kw_only=True)
class StateKey:
    """An entry of a ``state_dict``. ``dtype`` is PyTorch's name for it, such as ``"float32"``.

    ``weight`` is what the network calls the tensor: the first key of those that share its memory,
    or empty where no layer reads it, as with ``num_batches_tracked``.
    """

    weight: str
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, weight: str, tensor: torch.Tensor) -> StateKey:
        dtype = str(tensor.dtype).removeprefix("torch.")
        return cls(weight=weight, dtype=dtype, shape=tuple(tensor.shape))

    def __str__(self) -> str:
        return f"{self.dtype}{list(self.shape)}"

    def to_json(self) -> list[Any]:
        return [self.weight, self.dtype, list(self.shape)]

    @classmethod
    def from_json(cls, obj: Any) -> StateKey:
        weight, dtype, shape = obj
        return cls(weight=str(weight), dtype=str(dtype), shape=tuple(int(n) for n in shape))


def by_weight(
    given: Mapping[str, torch.Tensor], keys: Mapping[str, StateKey]
) -> dict[str, torch.Tensor]:
    """A ``state_dict``, whole or a part of one, by the network's names and on the CPU.

    Errors: RunError lists every unknown key, wrong dtype or wrong shape at once; or two keys that
    share a tensor in the model, and are given as different ones.
    """
    if not isinstance(given, Mapping):
        raise RunError(explain(f"the weights are {given!r}", fix="give model.state_dict()"))
    wrong = [_wrong(name, value, keys) for name, value in given.items()]
    lines = [line for line in wrong if line]
    if lines:
        shown = "".join(f"\n  {line}" for line in lines[:_SHOWN])
        more = f"\n  and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
        raise RunError(
            explain(
                f"{len(lines)} of {len(given)} weights do not fit the engine's model:{shown}{more}",
                fix="give the state_dict of the model that was converted, or a part of it",
            )
        )
    found: dict[str, tuple[str, torch.Tensor]] = {}
    for name, value in given.items():
        weight = keys[name].weight
        other, before = found.setdefault(weight, (name, value)) if weight else (name, value)
        if value is not before and not _equal(value, before):
            raise RunError(
                explain(
                    f"{name} and {other} are one tensor in the model, and differ here",
                    fix="give one of the two, or equal values",
                )
            )
    # Copies: what the engine knows of its weights must not change with the caller's.
    return {weight: value.detach().to("cpu", copy=True) for weight, (_, value) in found.items()}


def _wrong(name: str, value: Any, keys: Mapping[str, StateKey]) -> str | None:
    if name not in keys:
        return f"{name}: the model has no such key"
    if not hasattr(value, "detach"):
        return f"{name}: it is a {type(value).__name__}, not a tensor"
    found = StateKey.of("", value)
    wanted = keys[name]
    if (found.dtype, found.shape) == (wanted.dtype, wanted.shape):
        return None
    return f"{name}: it is {found}, and the model has {wanted}"


def _equal(x: torch.Tensor, y: torch.Tensor) -> bool:
    same_memory = x.data_ptr() == y.data_ptr() and x.stride() == y.stride()
    return same_memory or bool((x.cpu() == y.cpu()).all())
