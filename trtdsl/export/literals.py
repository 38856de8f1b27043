"""Whole numbers that a module writes out in tensors, followed while it is exported.

``torch.tensor([[1, 4, 4]])`` does not depend on an input, and neither does what is computed from it
and from nothing else. Where Python reads such a value, torch.export sees a number that only values
decide; here the same functions are called of the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import _disable_current_modes

__all__ = ["READ", "SYMBOLIC", "Literals", "is_writing"]

_MOST = 4096
"""So many elements a tensor has at most that is followed."""

Tensor = torch.Tensor
READ = {
    Tensor.tolist, Tensor.item, Tensor.__int__, Tensor.__bool__, Tensor.__index__, Tensor.__float__,
}  # fmt: skip
_IN_PLACE = {
    f"__i{name}__"
    for name in ("add", "sub", "mul", "matmul", "div", "truediv", "floordiv", "mod", "pow", "and")
} | {"__ior__", "__ixor__", "__ilshift__", "__irshift__"}
SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)


@dataclass(frozen=True)
class Literals:
    """The tensors whose values are known, for the time of an export."""

    known: dict[int, tuple[Tensor, int, Tensor]] = field(default_factory=dict)
    """Tensors as traced, their versions, and their values, by the ids of the first."""

    def call(
        self,
        func: Any,
        operator: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Any:
        """``operator(*args, **kwargs)``, which stands for ``func``; a number where one is read."""
        if func in READ and (value := self.value(args[0])) is not None:
            with _disable_current_modes():
                return func(value, *args[1:], **kwargs)
        result = operator(*args, **kwargs)
        if is_writing(func, kwargs):
            self.known.clear()  # a view of it may be among them
            return result
        several = list(result) if isinstance(result, Iterator) else result
        followed = self.followed(func, args, kwargs, several)
        return iter(followed) if isinstance(result, Iterator) else followed

    def value(self, x: Any) -> Tensor | None:
        """The value of a tensor, where it is known."""
        if type(x) is Tensor and id(x) not in self.known and _is_small(x):
            with _disable_current_modes():
                return x.clone()  # an attribute that is no buffer; what writes to one is refused
        traced, version, value = self.known.get(id(x), (None, 0, None))
        return value if traced is not None and traced._version == version else None

    def followed(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any
    ) -> Any:
        """The result, of which the values are known if those of all arguments are."""
        results, spec = pytree.tree_flatten(result)
        if not results or not all(map(_is_small, results)):
            return result
        given, arguments = pytree.tree_flatten((tuple(args), dict(kwargs)))
        values = [self.value(x) if isinstance(x, Tensor) else x for x in given]
        if any(x is None and y is not None for x, y in zip(values, given, strict=True)):
            return result
        if any(isinstance(x, SYMBOLIC) for x in values):
            return result
        plain_args, plain_kwargs = pytree.tree_unflatten(values, arguments)
        found = _computed(func, plain_args, plain_kwargs)
        if found is None:
            return result
        pairs = zip(results, pytree.tree_leaves(found), strict=True)
        return pytree.tree_unflatten([self.noted(*pair) for pair in pairs], spec)

    def noted(self, traced: Tensor, value: Tensor) -> Tensor:
        if any(isinstance(n, torch.SymInt) for n in traced.shape):  # as many as values decide
            traced = torch.tensor(value.tolist(), dtype=value.dtype, device=traced.device)
            traced = traced.reshape(value.shape)
        self.known[id(traced)] = (traced, traced._version, value)
        return traced


def _computed(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """What a function gives, untraced; None where it draws, writes to an argument, or fails."""
    values = [x for x in pytree.tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
    if "generator" in kwargs or "rand" in getattr(func, "__name__", ""):
        return None
    with _disable_current_modes():
        versions, drawn = [x._version for x in values], torch.get_rng_state()
        try:
            found = func(*args, **kwargs)
            same = torch.equal(drawn, torch.get_rng_state())
        except Exception:  # or within a function of PyTorch's own, which sees no values
            return None
        if not same:
            torch.set_rng_state(drawn)
            return None
    if versions != [x._version for x in values]:
        return None
    return list(found) if isinstance(found, Iterator) else found


def _is_small(x: Any) -> bool:
    if not isinstance(x, Tensor) or x.is_floating_point() or x.is_complex():
        return False
    if is_functorch_wrapped_tensor(x):  # one of many, within torch.vmap
        return False
    return all(isinstance(n, torch.SymInt) or n <= _MOST for n in x.shape)


def is_writing(func: Any, kwargs: Mapping[str, Any]) -> bool:
    """Whether a function writes to a tensor that it is given."""
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return "out" in kwargs or in_place or name == "__setitem__" or name in _IN_PLACE
