"""What one call of a module leaves to the next: attributes, lists, and Python's random numbers.

torch.export takes a module as it is before its first call, and drops what a call writes to its
attributes, to those of objects in them and to buffers of its submodules. Most of that is harmless
(features that a hook collects, tables computed once), so a module that writes is called twice, and
refused where its second answer depends on the first call.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn

from trtdsl.errors import ConversionError, explain
from trtdsl.export.asserted import UncheckedWarning

__all__ = ["History", "refuse_history", "restored"]

_Call = Callable[[Sequence[torch.Tensor]], Sequence[Any]]
_DEPTH = 5
_CONTAINERS = (dict, list, set, deque)
_RESTORABLE = (dict, OrderedDict, list, set, deque)
"""Of these very classes: one derived from them may refuse to be changed."""
_PLAIN = (int, float, str, bool, bytes, type(None))
_NO_HOLDERS = (nn.Module, torch.Tensor, type, ModuleType, FunctionType)
_NOT_THEIRS = ("torch", "trtdsl")
_PARTS = ("_buffers", "_parameters", "_modules")
_RANDOM = "Python's random", "numpy.random"


@dataclass
class History:
    """The names of what the calls of a module have changed, by its own words."""

    changed: dict[str, None] = field(default_factory=dict)

    @contextmanager
    def recorded(self, model: nn.Module) -> Iterator[None]:
        """Inside, the module is called."""
        before, drawn = _snapshot(model), _random_states()
        yield
        for holder, contents, name in before:
            self.changed.update(dict.fromkeys(_changes(holder, contents, name)))
        for source, old, new in zip(_RANDOM, drawn, _random_states(), strict=True):
            if old != new:
                self.changed[source] = None


@contextmanager
def restored(model: nn.Module, leaves: Sequence[torch.Tensor] = ()) -> Iterator[None]:
    """Undo what a call does to a module's attributes, such as caching a fake tensor in one.

    And to those of the examples: PyTorch leaves its marks of dynamic axes there where it fails.
    """
    before = _snapshot(model, leaves)
    try:
        yield
    finally:
        for holder, contents, name in before:
            if type(holder) in _RESTORABLE and list(_changes(holder, contents, name)):
                holder.clear()
                (holder.extend if hasattr(holder, "extend") else holder.update)(contents)


def refuse_history(
    model: nn.Module, history: History, call: _Call, inputs: Sequence[torch.Tensor]
) -> None:
    """Refuse a module whose answer depends on the calls before.

    Inputs: ``call`` calls it with ``inputs`` and gives the tensors and values of its answer.
    Errors: ConversionError. Where it cannot be called, an UncheckedWarning says so.
    """
    changed = [n for n in history.changed if n not in _RANDOM] or list(history.changed)
    if not changed:
        return
    what = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    try:
        if not _depends(model, call, inputs):
            return
    except Exception as error:
        warnings.warn(
            f"the model changes {what} when it is called, and an engine keeps no state between "
            f"calls; whether answers depend on it is unknown: {type(error).__name__}: {error}",
            UncheckedWarning,
            stacklevel=2,
        )
        return
    drawn = changed[0] in _RANDOM
    raise ConversionError(
        explain(
            f"the model draws from {what}, and an engine would repeat what was drawn once"
            if drawn
            else f"the model's answer depends on the calls before, by {what}, and an engine keeps "
            "no state between calls",
            fix="draw the numbers outside of the model, and pass them as an input"
            if drawn
            else "return the new value as an output, and pass the old one as an input",
        )
    )


def _depends(model: nn.Module, call: _Call, inputs: Sequence[torch.Tensor]) -> bool:
    """Whether a module answers another input differently after it was called with this one."""
    other = [_varied(x) for x in inputs]
    answers = []
    with _same_random_numbers_after(), torch.no_grad():
        for earlier in ([], [inputs]):
            with restored(model), _own_buffers(model):
                for x in (*earlier, other):
                    torch.manual_seed(0)
                    answer = call([t.clone() for t in x])
            answers.append(answer)
    return len(answers[0]) != len(answers[1]) or not all(map(_same, *answers))


@contextmanager
def _same_random_numbers_after() -> Iterator[None]:
    """Leave all random numbers that are drawn from now on as they were."""
    numpy = sys.modules.get("numpy")
    state, drawn = random.getstate(), numpy and numpy.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(drawn)


@contextmanager
def _own_buffers(model: nn.Module) -> Iterator[None]:
    """Give a module copies of its buffers, which a call may then write to."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    yield


def _varied(x: torch.Tensor) -> torch.Tensor:
    """Another input that is as valid: the same values, in another order."""
    moved = x.detach().reshape(-1).roll(1).reshape(x.shape)
    return moved / 2 if x.is_floating_point() else moved


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return type(a) is type(b) and bool(a == b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return torch.equal(a, b)
    finite = a[a.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(a, b, rtol=1e-5, atol=1e-5 * scale, equal_nan=True)


def _snapshot(model: nn.Module, leaves: Sequence[torch.Tensor] = ()) -> list[tuple[Any, Any, str]]:
    """What a module keeps things in, what was in it, and its name in the user's words."""
    found: dict[int, tuple[Any, Any, str]] = {}
    left: list[tuple[Any, str, int]] = [(x.__dict__, "", 0) for x in leaves]
    left += [(m.__dict__, name, 0) for name, m in model.named_modules()]
    while left:
        holder, name, depth = left.pop()
        if id(holder) in found:
            continue
        found[id(holder)] = (holder, _copied(holder), name)
        if depth < _DEPTH:
            left += [
                (inner, _dotted(name, key), depth + 1)
                for key, value in _items(holder)
                if (inner := _held_in(value)) is not None
            ]
    return list(found.values())


def _held_in(value: Any) -> Any:
    """What holds things in a value: itself, if it is a container, or an object's attributes."""
    if isinstance(value, _CONTAINERS):
        return value
    if isinstance(value, _NO_HOLDERS) or type(value).__module__.partition(".")[0] in _NOT_THEIRS:
        return None
    return getattr(value, "__dict__", None)


def _copied(holder: Any) -> Any:
    return dict(holder.items()) if isinstance(holder, dict) else list(holder)


def _items(holder: Any) -> list[tuple[Any, Any]]:
    return list(holder.items() if isinstance(holder, dict) else enumerate(holder))


def _dotted(name: str, key: Any) -> str:
    return ".".join(part for part in (name, str(key)) if part and part not in _PARTS)


def _changes(holder: Any, before: Any, name: str) -> Iterator[str]:
    """The names of what is not what it was."""
    if not isinstance(holder, dict):
        if len(holder) != len(before) or not all(map(_is_still, before, holder)):
            yield name
        return
    for key in before.keys() | holder.keys():
        if key not in before or key not in holder or not _is_still(before[key], holder[key]):
            yield _dotted(name, key)


def _is_still(old: Any, new: Any) -> bool:
    """Whether a value is what it was, without asking what a symbolic number is."""
    if old is new:
        return True
    if isinstance(old, tuple) and isinstance(new, tuple):
        return len(old) == len(new) and all(map(_is_still, old, new))
    return type(old) is type(new) and type(old) in _PLAIN and bool(old == new)


def _random_states() -> tuple[Any, Any]:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return random.getstate(), None
    name, keys, *rest = numpy.random.get_state()
    return random.getstate(), (name, keys.tobytes(), *rest)
