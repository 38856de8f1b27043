"""``Constants``: what Python asks of values that nothing but the model's own state decides.

A layer that has initialized itself looks at a flag, a solver at whether its times rise. To
torch.export a weight may have any value, and it stops there. While a module is exported anew, what
is computed of its state and of literals alone is remembered, function by function; where Python
then asks for a value, that much is computed of the tensors themselves, and what decided it is
noted. Of inputs there are no values: what a model demands of those is taken as met (``demands``).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

from trtdsl.export.demands import REFUSES, demanded
from trtdsl.export.literals import READ, SYMBOLIC, is_writing
from trtdsl.export.unchecked import unchecked

__all__ = ["Constants"]

Tensor = torch.Tensor
_HERE = Path(__file__).parent
_ASKING = {torch.equal, torch.allclose, torch.is_nonzero, Tensor.equal, Tensor.allclose}
"""Functions of tensors that give a bool."""
_MOST = 4096
"""So many elements a tensor has at most that is written out as a literal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Weight:
    """A parameter or buffer."""

    key: str
    tensor: Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    """One of the tensors that a function gives of others, or of none."""

    func: Callable[..., Any]
    arguments: tuple[list[Any], Any]
    """The leaves of its arguments, tensors by where they come from; and how they are nested."""
    index: int


_Origin = _Weight | _Made


@dataclass(frozen=True, eq=False)
class Constants:
    """What a model computes of its state alone, for the time of an export."""

    model: nn.Module
    settled: dict[str, Tensor] = field(default_factory=dict)
    """The weights, by their keys, that decided what Python was told."""
    _state: dict[str, Tensor] = field(default_factory=dict)
    _traced: dict[int, tuple[Tensor, _Weight]] = field(default_factory=dict)
    """The model's weights as they are traced now, by their ids."""
    _made: dict[int, tuple[Tensor, _Made]] = field(default_factory=dict)
    _written: dict[int, Tensor] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)
    _values: dict[_Made, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._state.update((key, x.detach()) for key, x in _weights(self.model))

    def call(
        self,
        func: Any,
        operator: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """``operator(*args, **kwargs)``, which stands for ``func``; the answer where it asks."""
        if not torch.compiler.is_exporting():
            return operator(*args, **kwargs)
        if is_writing(func, kwargs):
            return self._written_to(func, operator, args, kwargs)
        arguments = self._arguments(args, kwargs)
        if arguments is None:
            demand = demanded(_asker()) if func is Tensor.__bool__ else None
            if demand is None:
                return operator(*args, **kwargs)
            if demand.place not in self._told:
                unchecked(REFUSES, demand.place)
            self._told.add(demand.place)
            return demand.answer
        made = _Made(func=func, arguments=arguments, index=0)
        if func in READ or func in _ASKING:
            answer = self._known(made, lambda: self._called(made))
            return operator(*args, **kwargs) if answer is None else answer[0]
        return self._noted(made, operator(*args, **kwargs))

    def _arguments(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[list[Any], Any] | None:
        """Where all arguments come from, and how they are nested; None where one is not known."""
        leaves, tree = pytree.tree_flatten((tuple(args), dict(kwargs)))
        origins = [self._origin(x) if isinstance(x, Tensor) else x for x in leaves]
        unknown = any(x is None and y is not None for x, y in zip(origins, leaves, strict=True))
        return None if unknown or any(map(_is_symbolic, leaves)) else (origins, tree)

    def _written_to(
        self,
        func: Any,
        operator: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """A write: what is known is written to a tensor of the model's own making is known too."""
        target = args[0] if args else None
        own = isinstance(target, Tensor) and id(target) in self._made and "out" not in kwargs
        arguments = self._arguments(args, kwargs) if own else None
        result = operator(*args, **kwargs)
        written = pytree.tree_leaves((args[:1], kwargs.get("out")))
        self._forget(x for x in written if isinstance(x, Tensor))
        if arguments is not None and target is not None:
            del self._written[id(target)]
            made = _Made(func=_copying(func), arguments=arguments, index=0)
            self._made[id(target)] = target, made
        return result

    def _noted(self, made: _Made, result: Any) -> Any:
        """The result, whose tensors are known from now on."""
        several = list(result) if isinstance(result, Iterator) else result
        leaves, tree = pytree.tree_flatten(several)
        if not leaves or not all(isinstance(x, Tensor) for x in leaves):
            return iter(several) if isinstance(result, Iterator) else several
        noted = []
        for i, x in enumerate(leaves):
            origin = _Made(func=made.func, arguments=made.arguments, index=i)
            x = self._written_out(x, origin)
            self._made[id(x)] = x, origin
            noted.append(x)
        found = pytree.tree_unflatten(noted, tree)
        return iter(found) if isinstance(result, Iterator) else found

    def _written_out(self, x: Tensor, origin: _Made) -> Tensor:
        """A tensor of as many elements as values decide, as a literal."""
        if not any(isinstance(n, torch.SymInt) for n in x.shape):
            return x
        value = self._known(origin, lambda: self._value(origin))
        if value is None or not isinstance(value[0], Tensor) or value[0].numel() > _MOST:
            return x
        literal = torch.tensor(value[0].tolist(), dtype=value[0].dtype, device=x.device)
        return literal.reshape(value[0].shape)

    def _origin(self, x: Tensor) -> Any:
        """Where a tensor comes from; itself where it is a plain one; None where that is unknown."""
        if id(x) in self._written or is_functorch_wrapped_tensor(x):
            return None
        if id(x) in self._made:
            return self._made[id(x)][1]
        if type(x) is Tensor:
            return x  # an attribute that is no buffer; what writes to one is refused
        self._follow()
        return self._traced.get(id(x), (None, None))[1]

    def _follow(self) -> None:
        """Know the model's weights as they are traced now: torch.export puts others in place."""
        first = next(iter(self._traced.values()), None)
        if first is not None and _weight(self.model, first[1].key) is first[0]:
            return
        self._traced.clear()
        for key, x in _weights(self.model):
            weight = _Weight(key=key, tensor=self._state[key])
            self._traced.setdefault(id(x), (x, weight))

    def _forget(self, written: Iterator[Tensor]) -> None:
        """What shares the memory that is written to is not known any more."""
        tensors = list(written)
        places = set(map(_memory, tensors))
        self._follow()
        known = [x for x, _ in (*self._made.values(), *self._traced.values())]
        for x in (*tensors, *(x for x in known if _memory(x) in places)):
            self._written[id(x)] = x
            self._made.pop(id(x), None)

    def _known(self, made: _Made, compute: Callable[[], Any]) -> tuple[Any] | None:
        """What is computed; None where it is drawn, or fails, as on a tensor without values."""
        with _disable_current_modes(), torch.no_grad():
            drawn = torch.get_rng_state()
            try:
                found = compute()
            except Exception:
                return None
            if not torch.equal(drawn, torch.get_rng_state()):
                torch.set_rng_state(drawn)
                self._values.clear()  # what was drawn is not to be found there
                return None
        self.settled.update((key, self._state[key]) for key in _roots(made))
        return (found,)

    def _called(self, made: _Made) -> Any:
        origins, tree = made.arguments
        args, kwargs = pytree.tree_unflatten([self._value(x) for x in origins], tree)
        return made.func(*args, **kwargs)

    def _value(self, origin: Any) -> Any:
        if isinstance(origin, _Weight):
            return origin.tensor
        if not isinstance(origin, _Made):
            return origin.clone() if isinstance(origin, Tensor) else origin
        if origin not in self._values:
            found = self._called(origin)
            leaves = pytree.tree_leaves(list(found) if isinstance(found, Iterator) else found)
            self._values[origin] = leaves[origin.index]
        return self._values[origin]


def _is_symbolic(leaf: Any) -> bool:
    """Whether an argument is a symbolic number, or holds one: a slice, or the sizes of a tensor."""
    if isinstance(leaf, slice):
        return any(isinstance(n, SYMBOLIC) for n in (leaf.start, leaf.stop, leaf.step))
    if isinstance(leaf, tuple | list):
        return any(map(_is_symbolic, leaf))
    return isinstance(leaf, SYMBOLIC)


def _asker() -> FrameType | None:
    """The frame that asked, before PyTorch's other modes of its functions and this one."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (_is_here(frame) or frame.f_code.co_name == "__torch_function__"):
        frame = frame.f_back
    return frame


def _is_here(frame: FrameType) -> bool:
    return Path(frame.f_code.co_filename).parent == _HERE


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters(remove_duplicate=False)
    yield from model.named_buffers(remove_duplicate=False)


def _weight(model: nn.Module, key: str) -> Any:
    path, _, name = key.rpartition(".")
    return getattr(model.get_submodule(path), name)


def _copying(func: Callable[..., Any]) -> Callable[..., Tensor]:
    """A function that writes to its first argument, as one that gives what that is then."""

    def written(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        copy = x.clone()
        func(copy, *args, **kwargs)
        return copy

    return written


def _memory(x: Tensor) -> int:
    return int(x.untyped_storage()._cdata)


def _roots(origin: Any) -> set[str]:
    """The keys of the weights that something is made of."""
    found, left, seen = set[str](), [origin], set[int]()
    while left:
        x = left.pop()
        if isinstance(x, _Weight):
            found.add(x.key)
        elif isinstance(x, _Made) and id(x) not in seen:
            seen.add(id(x))
            left += x.arguments[0]
    return found
