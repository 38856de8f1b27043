"""What a model keeps anything in, before and after a call: its own places, and its source files'.

Its own are the attributes of its modules, and the containers and objects in them. Its source files
have globals, attributes of classes, default arguments, and functions that remember their results.
"""

from __future__ import annotations

import functools
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor

from trtdsl.export.moving import put_back, state_of
from trtdsl.export.source_files import is_theirs, places

__all__ = ["Kept", "restored", "snapshot"]

_DEPTH = 5
_CONTAINERS = (dict, list, set, deque)
_RESTORABLE = (dict, OrderedDict, list, set, deque)
"""Of these very classes: one derived from them may refuse to be changed."""
_PLAIN = (int, float, str, bool, bytes, type(None))
_NO_HOLDERS = (nn.Module, torch.Tensor, type, ModuleType, FunctionType)
_PARTS = ("_buffers", "_parameters", "_modules")
_FAKE = (FakeTensor, FunctionalTensor)


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Something that holds things, what was in it, and its name in the user's words."""

    holder: Any
    contents: Any
    name: str
    own: bool
    """Whether it is the model's, and not of a source file, which others may use."""

    def changes(self) -> Iterator[str]:
        """The names of what is not what it was."""
        if not isinstance(self.contents, list | dict):
            if state_of(self.holder) != self.contents:
                yield self.name
            return
        if isinstance(self.contents, list):
            now = _listed(self.holder)
            if len(now) != len(self.contents) or not all(map(_is_still, self.contents, now)):
                yield self.name
            return
        yield from (_dotted(self.name, key) for key in self._changed_keys())

    def restore(self) -> None:
        """Put back what was in it; where others use it too, in place of fake tensors only."""
        if not self.own:
            self._forget_fakes()
        elif not isinstance(self.contents, list | dict):
            if next(self.changes(), None) is not None:
                put_back(self.holder, self.contents)
        elif not _is(self.holder, _CONTAINERS):
            for key in self._changed_keys():
                self._put_back(key)
        elif type(self.holder) in _RESTORABLE and next(self.changes(), None) is not None:
            self.holder.clear()
            add = getattr(self.holder, "extend", None) or self.holder.update
            add(self.contents)

    def _changed_keys(self) -> Iterator[Any]:
        before, now = self.contents, dict(_items(self.holder))
        for key in before.keys() | now.keys():
            if key not in before or key not in now or not _is_still(before[key], now[key]):
                yield key

    def _forget_fakes(self) -> None:
        if isinstance(self.contents, list):
            if (
                any(_is(x, _FAKE) for x in _listed(self.holder))
                and type(self.holder) in _RESTORABLE
            ):
                self.holder.clear()
                (getattr(self.holder, "extend", None) or self.holder.update)(self.contents)
            return
        for key in [k for k, v in _items(self.holder) if _is(v, _FAKE)]:
            self._put_back(key)

    def _put_back(self, key: Any) -> None:
        if _is(self.holder, FunctionType):
            cells = dict(
                zip(self.holder.__code__.co_freevars, self.holder.__closure__, strict=True)
            )
            cells[key].cell_contents = self.contents[key]
        elif isinstance(self.holder, dict):
            self.holder.pop(key)
            self.holder.update({key: self.contents[key]} if key in self.contents else {})
        elif key in self.contents:
            setattr(self.holder, key, self.contents[key])
        else:
            delattr(self.holder, key)


def snapshot(model: nn.Module, leaves: Sequence[torch.Tensor] = ()) -> list[Kept]:
    """All that a model, its source files and its examples keep things in, as it is now."""
    found: dict[int, Kept] = {}
    left: list[tuple[Any, str, int, bool]] = [(x.__dict__, "", 0, True) for x in leaves]
    left += [(m.__dict__, name, 0, True) for name, m in model.named_modules()]
    # Of what is global, only containers: an object may be anyone's.
    left[:0] = [(place, name, _DEPTH - 1, False) for place, name in places(model)]
    while left:
        holder, name, depth, own = left.pop()
        if id(holder) in found:
            continue
        contents = dict(_items(holder)) if _is_named(holder) else _listed(holder)
        found[id(holder)] = Kept(holder=holder, contents=contents, name=name, own=own)
        for key, value in _items(holder) if own else ():
            if (state := state_of(value)) is not None:
                name_of = _dotted(name, key)
                found[id(value)] = Kept(holder=value, contents=state, name=name_of, own=own)
        if depth < _DEPTH:
            inside = ((key, _held_in(value, own)) for key, value in _items(holder))
            left += [
                (inner, _dotted(name, key), depth + 1, own)
                for key, inner in inside
                if inner is not None
            ]
    return list(found.values())


@contextmanager
def restored(model: nn.Module, leaves: Sequence[torch.Tensor] = ()) -> Iterator[None]:
    """Undo what a call does to a module's attributes, such as caching a fake tensor in one.

    And to those of the examples: PyTorch leaves its marks of dynamic axes there where it fails.
    """
    before = snapshot(model, leaves)
    caches = [(f, f.cache_info().misses) for f in _caches(before)]
    try:
        yield
    finally:
        for kept in before:
            kept.restore()
        for function, misses in caches:
            if function.cache_info().misses != misses:
                function.cache_clear()  # what it has computed may be a fake tensor


def _caches(kept: Sequence[Kept]) -> list[Any]:
    """The functions of source files that remember their results, as ``functools.cache`` makes."""
    values = [v for k in kept if not k.own for _, v in _items(k.holder)]
    return list({id(v): v for v in values if _is(v, functools._lru_cache_wrapper)}.values())


def _held_in(value: Any, own: bool) -> Any:
    """What holds things in a value: itself, if it is a container, or an object's attributes."""
    if _is(value, _CONTAINERS):
        return value
    if own and _is(value, FunctionType):
        return value if value.__closure__ else None
    if not own or _is(value, _NO_HOLDERS) or not is_theirs(type(value)):
        return None
    return getattr(value, "__dict__", value if _slots(value) else None)


def _slots(value: Any) -> list[str]:
    """The attributes of an object that keeps them in slots; none of a tuple's."""
    names = [getattr(c, "__slots__", ()) for c in type(value).__mro__]
    return [n for s in names for n in ((s,) if isinstance(s, str) else s) if hasattr(value, n)]


def _is(value: Any, kinds: Any) -> bool:
    """``isinstance``, without asking the value, which may stand for what is not there."""
    return issubclass(type(value), kinds)


def _is_named(holder: Any) -> bool:
    return not isinstance(holder, list | set | deque)


def _items(holder: Any) -> list[tuple[Any, Any]]:
    """What is in it, but for Python's own: ``__warningregistry__``, ``__doc__``."""
    if not _is_named(holder):
        return list(enumerate(_listed(holder)))
    if _is(holder, FunctionType):
        cells = zip(holder.__code__.co_freevars, holder.__closure__, strict=True)
        return [(name, cell.cell_contents) for name, cell in cells if _is_filled(cell)]
    if not isinstance(holder, dict | type):
        return [(name, getattr(holder, name)) for name in _slots(holder)]
    kind: Any = OrderedDict if _is(holder, OrderedDict) else dict
    items = vars(holder).items() if isinstance(holder, type) else kind.items(holder)
    return [(k, v) for k, v in items if not str(k).startswith(("__", "_abc_"))]


def _listed(holder: list[Any] | set[Any] | deque[Any]) -> list[Any]:
    """What is in it, without asking a class derived from Python's, which may make it up."""
    kind: Any = next(kind for kind in (list, set, deque) if _is(holder, kind))
    return list(kind.__iter__(holder))


def _is_filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty one raises
    except ValueError:
        return False
    return True


def _dotted(name: str, key: Any) -> str:
    return ".".join(part for part in (name, str(key)) if part and part not in _PARTS)


def _is_still(old: Any, new: Any) -> bool:
    """Whether a value is what it was, without asking what a symbolic number is."""
    if old is new:
        return True
    if isinstance(old, tuple) and isinstance(new, tuple):
        return len(old) == len(new) and all(map(_is_still, old, new))
    return type(old) is type(new) and type(old) in _PLAIN and bool(old == new)
