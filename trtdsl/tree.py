"""Nested Python values and their flat tensors: ``flatten``, ``Tree.unflatten``, ``Tree.match``.

A model takes and returns tuples, lists, dicts, named tuples and dataclasses of tensors; an engine
takes and returns a flat list. The tree is what is left of a value without its tensors.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from trtdsl.errors import ConversionError, LoadError, RunError, explain

__all__ = ["Leaf", "Placeholder", "Tree", "flatten", "leaf_paths"]

Leaf: TypeAlias = Any
"""``torch.Tensor``, ``numpy.ndarray``, ``Placeholder``, or anything with a dtype and a shape."""

_ACCEPTED = (
    "tensors, None, bool, int, float and str, in tuples, lists, dicts (keys str, int or bool), "
    "named tuples and dataclasses"
)
_MAX_DEPTH = 64
_PACKED = "PackedSequence"
"""A named tuple of PyTorch's, of as many rows as all lengths add up to."""


@dataclass(frozen=True)
class Placeholder:
    """Stands for tensor number ``index`` where a structure is wanted without its tensors."""

    index: int


@dataclass(frozen=True)
class _Slot:
    """The place of one tensor."""


@dataclass(frozen=True, eq=False)
class _Constant:
    """A value that is part of the structure; ``True`` is not 1, and nan is nan."""

    value: bool | int | float | str | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Constant) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[type, str]:
        return type(self.value), repr(self.value)


@dataclass(frozen=True, eq=False)
class _Container:
    """A container of class ``kind`` and its children, by key, index or field name, in order."""

    kind: type
    keys: tuple[str | int | bool, ...]
    children: tuple[_Node, ...]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Container) or self.kind is not other.kind:
            return False
        return _typed(self.keys) == _typed(other.keys) and self.children == other.children

    def __hash__(self) -> int:
        return hash((self.kind, self.keys, self.children))


_Node: TypeAlias = _Slot | _Constant | _Container


@dataclass(frozen=True)
class Tree:
    """The structure of a value without its tensors. Compares by value."""

    root: _Node

    @property
    def num_leaves(self) -> int:
        """How many tensors the structure holds."""
        return sum(1 for _ in _paths(self.root, ()))

    @property
    def children(self) -> dict[str | int | bool, Tree]:
        """The structures one level down, by key, index or field name."""
        if not isinstance(self.root, _Container):
            return {}
        return {k: Tree(n) for k, n in zip(self.root.keys, self.root.children, strict=True)}

    def unflatten(self, leaves: Sequence[Leaf]) -> Any:
        """The value again, with ``leaves`` in order as its tensors. Errors: RunError (count)."""
        if len(leaves) != self.num_leaves:
            raise RunError(
                f"the structure holds {self.num_leaves} tensors, and {len(leaves)} were given"
            )
        return _build(self.root, iter(leaves))

    def match(self, value: Any, name: str = "") -> list[Leaf]:
        """The tensors of a value of this structure, in this tree's order (dict keys in any order).

        Errors: RunError names the place, what was fixed at conversion and what was given.
        """
        return list(_match(self.root, value, (name,) if name else ()))

    def to_json(self) -> Any:
        """Plain JSON data. Errors: ConversionError for a class that no import can find again."""
        return _node_to_json(self.root)

    @classmethod
    def from_json(cls, obj: Any) -> Tree:
        """The tree that ``to_json`` wrote; imports the classes it names. Errors: LoadError."""
        try:
            return cls(_node_from_json(obj))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LoadError(f"not a structure of inputs or outputs: {obj!r} ({error})") from error


def flatten(value: Any, name: str = "") -> tuple[list[Leaf], Tree]:
    """Take a value apart into its tensors and its structure; errors call it ``name``.

    Errors: ConversionError for a value that is neither tensor, constant nor known container.
    """
    leaves: list[Leaf] = []
    return leaves, Tree(_take_apart(value, (name,) if name else (), leaves))


def leaf_paths(tree: Tree) -> list[str]:
    """Where each tensor is: ``"0"``, ``"1.mask"``; keys, field names, indices in sequences."""
    return [".".join(map(str, path)) for path in _paths(tree.root, ())]


_Path: TypeAlias = tuple[str | int | bool, ...]


def _typed(keys: Sequence[Any]) -> list[tuple[type, Any]]:
    return [(type(key), key) for key in keys]


def _is_constant(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str)


def _is_leaf(value: Any) -> bool:
    if isinstance(value, np.ndarray | Placeholder):
        return True
    if isinstance(value, np.generic | type):  # numpy scalars and classes have a dtype too
        return False
    # Asked of the class: a tensor of torch.export raises when asked for its memory.
    if hasattr(type(value), "__cuda_array_interface__") or hasattr(type(value), "__dlpack__"):
        return True
    if isinstance(value, dict):  # whose attributes may be its items, and others a KeyError
        return False
    return hasattr(value, "dtype") and hasattr(value, "shape")


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and isinstance(getattr(kind, "_fields", None), tuple)


def _is_struct_sequence(kind: type) -> bool:
    """PyTorch's own results of several tensors, such as ``torch.return_types.max``."""
    return issubclass(kind, tuple) and isinstance(getattr(kind, "n_sequence_fields", None), int)


def _is_record(kind: type) -> bool:
    return dataclasses.is_dataclass(kind) or _is_named_tuple(kind) or _is_struct_sequence(kind)


def _contents(value: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """The keys and children of a container; None for anything else."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = tuple(f.name for f in dataclasses.fields(kind))
        return names, tuple(getattr(value, name) for name in names)
    if _is_named_tuple(kind) and kind.__name__ != _PACKED:
        return kind._fields, tuple(value)
    if kind in (tuple, list) or _is_struct_sequence(kind):
        return tuple(range(len(value))), tuple(value)
    if kind in (dict, OrderedDict):
        return tuple(value.keys()), tuple(value.values())
    return None


def _take_apart(value: Any, path: _Path, leaves: list[Leaf]) -> _Node:
    if _is_constant(value):
        return _Constant(value)
    contents = None if isinstance(value, Placeholder) else _contents(value)
    if contents is None:
        if not _is_leaf(value):
            raise _unknown(value, path)
        leaves.append(value)
        return _Slot()
    if len(path) >= _MAX_DEPTH:
        raise ConversionError(f"{_place(path)} is nested deeper than {_MAX_DEPTH} levels")
    keys, children = contents
    odd = [key for key in keys if type(key) not in (str, int, bool)]
    if odd:
        raise ConversionError(
            f"{_place(path)} has the key {odd[0]!r} of {type(odd[0]).__name__}; "
            "keys are str, int or bool"
        )
    nodes = tuple(
        _take_apart(child, (*path, key), leaves) for key, child in zip(keys, children, strict=True)
    )
    return _Container(type(value), keys, nodes)


def _unknown(value: Any, path: _Path) -> ConversionError:
    kind = type(value)
    fix = f"use {_ACCEPTED}"
    if kind.__name__ == "SymInt":
        fix = "leave it out: a size that varies can be read from the shape of a tensor"
    if kind.__name__ in ("SymFloat", "SymBool"):
        fix = "return the tensor that it is read from, without item(), tolist() or bool()"
    if kind.__name__.endswith("Cache"):
        fix = "leave it out, as model.config.use_cache = False does, or return the tensors in it"
    if kind.__name__ == _PACKED:
        fix = "pass the padded batch and the lengths and pack them in the model, and return what "
        fix += "pad_packed_sequence gives"
    if isinstance(value, np.generic):
        fix = "make it an array: numpy.asarray(value)"
    return ConversionError(
        explain(f"{_place(path)} is {kind.__module__}.{kind.__qualname__}, not a tensor", fix=fix)
    )


def _place(path: _Path) -> str:
    return ".".join(map(str, path)) or "the value"


def _paths(node: _Node, path: _Path) -> Iterator[_Path]:
    if isinstance(node, _Slot):
        yield path
    elif isinstance(node, _Container):
        for key, child in zip(node.keys, node.children, strict=True):
            yield from _paths(child, (*path, key))


def _build(node: _Node, leaves: Iterator[Leaf]) -> Any:
    if isinstance(node, _Slot):
        return next(leaves)
    if isinstance(node, _Constant):
        return node.value
    children = [_build(child, leaves) for child in node.children]
    kind: Callable[..., Any] = node.kind
    if dataclasses.is_dataclass(node.kind):
        return _build_dataclass(node.kind, dict(zip(node.keys, children, strict=True)))
    if _is_named_tuple(node.kind):
        return kind(*children)
    if issubclass(node.kind, dict):
        return kind(zip(node.keys, children, strict=True))
    return kind(children)


def _build_dataclass(kind: type, values: dict[Any, Any]) -> Any:
    made = {f.name for f in dataclasses.fields(kind) if f.init}
    result = kind(**{name: value for name, value in values.items() if name in made})
    for name in values.keys() - made:
        object.__setattr__(result, name, values[name])  # a frozen dataclass refuses setattr
    return result


def _match(node: _Node, value: Any, path: _Path) -> Iterator[Leaf]:
    if isinstance(node, _Slot):
        if _is_constant(value) or not _is_leaf(value):
            raise _changed(path, "a tensor", value)
        yield value
    elif isinstance(node, _Constant):
        if not _is_constant(value) or _Constant(value) != node:
            raise RunError(
                explain(
                    f"{_place(path)} was fixed at conversion to {node.value!r}, "
                    f"and now is {_describe(value)}",
                    fix=f"pass {node.value!r}, or convert again with the other value",
                )
            )
    else:
        yield from _match_container(node, value, path)


def _match_container(node: _Container, value: Any, path: _Path) -> Iterator[Leaf]:
    contents = _contents(value) if type(value) is node.kind else None
    if contents is None:
        raise _changed(path, f"a {node.kind.__name__}", value)
    found = dict(zip(_typed(contents[0]), contents[1], strict=True))
    if found.keys() != set(_typed(node.keys)):
        raise RunError(
            explain(
                f"{_place(path)} had {_keys(node.kind, node.keys)} at conversion, "
                f"and now has {_keys(node.kind, contents[0])}",
                fix="pass what was there at conversion, or convert again",
            )
        )
    for key, child in zip(node.keys, node.children, strict=True):
        yield from _match(child, found[type(key), key], (*path, key))


def _changed(path: _Path, before: str, value: Any) -> RunError:
    what = f"{_place(path)} was {before} at conversion, and now is {_describe(value)}"
    return RunError(explain(what, fix=f"pass {before} there"))


def _keys(kind: type, keys: Sequence[Any]) -> str:
    return f"the keys {list(keys)}" if issubclass(kind, dict) else f"{len(keys)} items"


def _describe(value: Any) -> str:
    if _is_constant(value):
        return repr(value)
    return f"a {type(value).__name__}"


_PLAIN: dict[str, type] = {"tuple": tuple, "list": list, "dict": dict, "ordered_dict": OrderedDict}


def _node_to_json(node: _Node) -> Any:
    if isinstance(node, _Slot):
        return "tensor"
    if isinstance(node, _Constant):
        # JSON has no nan and no infinity; repr gives every float back exactly.
        exact = type(node.value) is not float
        return {"constant": node.value} if exact else {"float": repr(node.value)}
    children = [_node_to_json(child) for child in node.children]
    pairs = [list(pair) for pair in zip(node.keys, children, strict=True)]
    for word, kind in _PLAIN.items():
        if node.kind is kind:
            return {word: children if word in ("tuple", "list") else pairs}
    return {"record": _import_path(node.kind), "fields": pairs}


def _node_from_json(obj: Any) -> _Node:
    if obj == "tensor":
        return _Slot()
    if "constant" in obj:
        return _Constant(obj["constant"])
    if "float" in obj:
        return _Constant(float(obj["float"]))
    if "record" in obj:
        return _container(_import_record(obj["record"]), obj["fields"])
    ((word, items),) = obj.items()
    return _container(_PLAIN[word], enumerate(items) if word in ("tuple", "list") else items)


def _container(kind: type, pairs: Any) -> _Container:
    keys, nodes = [], []
    for key, item in pairs:
        keys.append(key)
        nodes.append(_node_from_json(item))
    return _Container(kind, tuple(keys), tuple(nodes))


def _import_path(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise ConversionError(
            explain(
                f"{kind.__module__}.{kind.__qualname__} is defined inside a function, "
                "so a saved engine could not find it again",
                fix="define it at the top of its module",
            )
        )
    return f"{kind.__module__}:{kind.__qualname__}"


def _import_record(path: str) -> type:
    module, _, name = path.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise LoadError(
            explain(
                f"the engine takes or returns {path}, which cannot be imported: {error}",
                fix=f"make the module {module} importable here, or let the model return a dict",
            )
        ) from error
    if not isinstance(found, type) or not _is_record(found):
        raise LoadError(f"{path} is neither a dataclass nor a named tuple, so no engine returns it")
    return found
