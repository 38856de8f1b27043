"""What a call must look like: arguments to a flat list of tensors, and the checks of each tensor.

Nothing here knows torch: a tensor is told by its attributes, so the same checks serve numpy arrays,
torch tensors, a TensorRT engine and the reference.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from trtdsl.errors import RunError, explain
from trtdsl.manifest import TensorSpec
from trtdsl.profiles import Profile, spans
from trtdsl.runtime.expression import evaluate, solve, symbols_of
from trtdsl.tree import Leaf, Tree
from trtdsl.types import DimRange

__all__ = ["Described", "Signature", "check_device", "kind_of"]


class Described(Protocol):
    """What a signature is made from; ``Manifest`` is one."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]: ...
    @property
    def input_tree(self) -> Tree: ...
    @property
    def parameters(self) -> tuple[str, ...]: ...
    @property
    def symbols(self) -> dict[str, DimRange]: ...


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The inputs of a converted model, as its callers give them."""

    inputs: tuple[TensorSpec, ...]
    input_tree: Tree
    parameters: tuple[str, ...]
    symbols: dict[str, DimRange]
    profiles: tuple[Profile, ...] = ()
    """An engine's, for the words of an error; the choice among them is the runtime's."""

    @classmethod
    def of(cls, described: Described) -> Signature:
        """The signature of a manifest, or of anything with the same fields."""
        return cls(
            inputs=described.inputs,
            input_tree=described.input_tree,
            parameters=described.parameters,
            symbols=described.symbols,
            profiles=getattr(described, "profiles", ()),
        )

    @property
    def is_flat(self) -> bool:
        """True when every argument is positional and a tensor: the arguments are the leaves."""
        positional, keyword = self._structure
        tensors = (tree.num_leaves == 1 and not tree.children for tree in positional.values())
        return not keyword and all(tensors)

    @cached_property
    def _structure(self) -> tuple[dict[Any, Tree], dict[Any, Tree]]:
        both = self.input_tree.children
        return both[0].children, both[1].children

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Leaf]:
        """The tensors of a call's arguments, in the order of ``inputs``.

        A positional argument may be given by its name, and the other way round. Arguments that are
        not tensors were fixed at conversion: they must have the same value, or, those that were
        given by keyword, be left out.
        Errors: RunError for another count, structure or value.
        """
        positional, keyword = self._structure
        args, kwargs = self._place(list(args), dict(kwargs), len(positional), keyword)
        leaves: list[Leaf] = []
        for index, tree in positional.items():
            leaves += tree.match(args[index], self._argument(index))
        for name, tree in keyword.items():
            if name in kwargs or tree.num_leaves:
                leaves += tree.match(kwargs[name], name)
        return leaves

    def _argument(self, index: int) -> str:
        return self.parameters[index] if index < len(self.parameters) else f"argument {index}"

    def _place(
        self, args: list[Any], kwargs: dict[str, Any], count: int, keyword: Mapping[str, Tree]
    ) -> tuple[list[Any], dict[str, Any]]:
        """Arguments as they were at conversion: ``count`` by position, the others by keyword."""
        given = len(args) + len(kwargs)
        for index, name in enumerate(self.parameters[: len(args)]):
            if name in kwargs:
                raise RunError(
                    explain(
                        f"{name} was given twice: as argument {index} and by keyword",
                        fix=f"leave out one of the two: engine(..., {name}={name})",
                    )
                )
        for name in self.parameters[count : len(args)]:
            if name in keyword:
                kwargs[name] = args.pop(count)
        for name in self.parameters[len(args) : count]:
            if name in kwargs:
                args.append(kwargs.pop(name))
        lacking = [name for name, tree in keyword.items() if tree.num_leaves and name not in kwargs]
        unknown = [name for name in kwargs if name not in keyword]
        if len(args) != count or lacking or unknown:
            raise RunError(self._wrong_count(given, unknown, count, list(keyword)))
        return args, kwargs

    def _wrong_count(
        self, given: int, unknown: Sequence[str], count: int, keyword: Sequence[str]
    ) -> str:
        names = [self._argument(index) for index in range(count)] + list(keyword)
        wanted = f"{len(names)} argument{'s' * (len(names) != 1)} ({', '.join(names)})"
        surplus = f", among them the unknown {', '.join(unknown)}" if unknown else ""
        were = "was" if given == 1 else "were"
        return explain(
            f"the engine takes {wanted}, and {given} {were} given{surplus}",
            fix=f"call engine({', '.join(names)}) as at conversion, or convert again",
        )

    def check(self, leaves: Sequence[Leaf]) -> dict[str, int]:
        """Hold every tensor against its spec; the size of each symbol in this call.

        Errors: RunError for a dtype, shape or memory layout that does not fit, with both values.
        """
        if len(leaves) != len(self.inputs):
            raise RunError(f"the engine takes {len(self.inputs)} tensors, given {len(leaves)}")
        for spec, leaf in zip(self.inputs, leaves, strict=True):
            _check_dtype(spec, leaf)
            _check_layout(spec, leaf)
            _check_static_sizes(spec, leaf)
        return self.sizes([tuple(leaf.shape) for leaf in leaves])

    def sizes(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """The size of each symbol for inputs of these shapes. Errors: RunError."""
        sizes: dict[str, int] = {}
        sources: dict[str, str] = {}
        symbolic = [
            (spec, axis, text, shape[axis])
            for spec, shape in zip(self.inputs, shapes, strict=True)
            for axis, text in enumerate(spec.shape)
            if isinstance(text, str)
        ]
        # Bare symbols first: they give the sizes that expressions are evaluated with.
        for spec, axis, text, size in sorted(symbolic, key=lambda row: row[2] not in self.symbols):
            missing = symbols_of(text) - sizes.keys()
            if missing:
                found = self._solve(spec, axis, text, size, missing)
                sizes |= found
                for name, value in found.items():
                    sources[name] = f"{name} is {value} in input {spec.name}, axis {axis}"
            elif (expected := evaluate(text, sizes)) != size:
                why = ", ".join(sources[name] for name in sorted(symbols_of(text)))
                raise RunError(
                    explain(
                        f"input {spec.name} has {size} at axis {axis}, and {text} must be "
                        f"{expected} there: {why}",
                        at=f"{spec}",
                        fix="give inputs whose sizes agree",
                    )
                )
        return sizes

    def _solve(
        self, spec: TensorSpec, axis: int, text: str, size: int, missing: frozenset[str]
    ) -> dict[str, int]:
        if len(missing) > 1:
            raise RunError(
                f"the size {text!r} of {spec.name}, axis {axis}, has several unknowns: "
                f"{', '.join(sorted(missing))}; no input gives them alone"
            )
        (name,) = missing
        within = self.symbols[name]
        value = size if text == name else solve(text, size, name, within)
        if value is None or not within.min <= value <= within.max:
            what = f"input {spec.name} has {size} at axis {axis}, where the engine takes {text}"
            ranges = spans(self.profiles or (self.symbols,), name)
            raise RunError(
                explain(
                    f"{what} with {name} in {ranges}",
                    at=f"{spec}",
                    fix=f"keep {name} in {ranges}, or convert with a wider Dim",
                )
            )
        return {name: value}


def kind_of(leaves: Sequence[Leaf]) -> str:
    """``"numpy"`` or ``"torch"``: what a call's tensors are. Errors: RunError for a mixture."""
    kinds = {_kind(leaf) for leaf in leaves}
    if len(kinds) > 1:
        raise RunError(
            explain(
                "numpy arrays and torch tensors in one call: "
                + ", ".join(_kind(leaf) for leaf in leaves),
                fix="give all of them as one kind: torch.from_numpy(x).cuda() or x.cpu().numpy()",
            )
        )
    if not kinds:  # a model without inputs: answer as whoever already uses torch expects
        return "torch" if "torch" in sys.modules else "numpy"
    return kinds.pop()


def check_device(specs: Sequence[TensorSpec], leaves: Sequence[Leaf], device: str) -> None:
    """Hold torch tensors against the device that answers, such as ``"cuda:0"`` or ``"cpu"``.

    Errors: RunError names the first input on another device, both devices, and the fix.
    """
    for spec, leaf in zip(specs, leaves, strict=True):
        found = str(leaf.device)
        if found != device:
            move = f"{spec.name}.to({device!r})" if device != "cuda:0" else f"{spec.name}.cuda()"
            raise RunError(
                explain(f"input {spec.name} is on {found}, and this runs on {device}", fix=move)
            )


def _kind(leaf: Leaf) -> str:
    if isinstance(leaf, np.ndarray):
        return "numpy"
    if hasattr(leaf, "data_ptr"):
        return "torch"
    kind = f"{type(leaf).__module__}.{type(leaf).__qualname__}"
    raise RunError(explain(f"an input is a {kind}", fix="give a torch.Tensor or a numpy.ndarray"))


def _check_dtype(spec: TensorSpec, leaf: Leaf) -> None:
    kind = _kind(leaf)
    found = str(leaf.dtype).removeprefix("torch.")  # numpy writes another byte order as >f4
    wanted = spec.dtype.value
    if found == wanted:
        return
    cast = f".astype({wanted!r})" if kind == "numpy" else f".to(torch.{wanted})"
    raise RunError(
        explain(
            f"input {spec.name} is {found}, and the engine takes {wanted}",
            at=f"{spec}",
            fix=f"{spec.name}{cast}",
        )
    )


def _check_layout(spec: TensorSpec, leaf: Leaf) -> None:
    if isinstance(leaf, np.ndarray):
        contiguous, fix = leaf.flags.c_contiguous, f"np.ascontiguousarray({spec.name})"
    else:
        contiguous, fix = leaf.is_contiguous(), f"{spec.name}.contiguous()"
        if leaf.is_neg():  # the sign is in the tensor, and not in its memory
            what = f"input {spec.name} is a view that negates what it shows"
            raise RunError(explain(what, at=f"{spec}", fix=f"{spec.name}.resolve_neg()"))
    if not contiguous and str(getattr(leaf, "layout", "torch.strided")) != "torch.strided":
        what, fix = f"input {spec.name} is sparse ({leaf.layout})", f"{spec.name}.to_dense()"
        raise RunError(explain(what, at=f"{spec}", fix=fix))
    if not contiguous:
        raise RunError(
            explain(
                f"input {spec.name} is not contiguous: shape {tuple(leaf.shape)}, "
                f"strides {leaf.strides if isinstance(leaf, np.ndarray) else leaf.stride()}",
                at=f"{spec}",
                fix=fix,
            )
        )


def _check_static_sizes(spec: TensorSpec, leaf: Leaf) -> None:
    found = tuple(leaf.shape)
    fits = len(found) == len(spec.shape) and all(
        isinstance(wanted, str) or wanted == size
        for wanted, size in zip(spec.shape, found, strict=True)
    )
    if not fits:
        wanted = ", ".join(map(str, spec.shape))
        raise RunError(
            explain(
                f"input {spec.name} has the shape {found}, and the engine takes ({wanted})",
                at=f"{spec}",
                fix=f"give ({wanted}), or convert with dynamic_shapes for what varies",
            )
        )
