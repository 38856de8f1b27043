"""``trtdsl.tree``: every container there and back, by value and through JSON; what is refused."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pytest
import torch

from trtdsl.errors import ConversionError, LoadError, RunError
from trtdsl.tree import Placeholder, Tree, flatten, leaf_paths

Pair = namedtuple("Pair", ["left", "right"])


@dataclass(frozen=True)
class Box:
    corner: Any
    label: str = "box"
    area: Any = field(init=False, default=None)


class Record(OrderedDict[str, Any]):
    """An OrderedDict that a dataclass fills with its fields that are not None."""

    def __post_init__(self) -> None:
        for each in fields(self):  # type: ignore[arg-type]
            if getattr(self, each.name) is not None:
                self[each.name] = getattr(self, each.name)


@dataclass
class Output(Record):
    loss: Any = None
    logits: Any = None
    states: Any = None


def a(value: float) -> np.ndarray[Any, Any]:
    return np.full((2,), value, np.float32)


X, Y = a(1), a(2)
VALUES = {
    "tensor": X,
    "torch": torch.ones(2),
    "placeholder": Placeholder(0),
    "empty": (),
    "tuple": (X, Y),
    "list": [X, [Y, X]],
    "dict": {"b": X, "a": Y, 3: X, True: Y},
    "ordered": OrderedDict([("z", X), ("a", Y)]),
    "namedtuple": Pair(X, (Y,)),
    "dataclass": Box(X, "cat"),
    "output": Output(logits=X, states=(Y, X)),
    "constants": (None, True, 1, 1.5, "text", X),
    "floats": (math.nan, math.inf, -math.inf, -0.0, 0.1 + 0.2),
    "structseq": torch.max(torch.eye(3), 1),
    "args": ((X, {"mask": Y}), {"flag": False, "bias": X}),
}


def same(got: Any, want: Any) -> bool:
    """Equal in class, structure and values, and the very same tensors."""
    if isinstance(want, np.ndarray | torch.Tensor):
        return got is want
    if type(got) is not type(want):
        return False
    if isinstance(want, dict):
        same_attributes = (
            vars(got).keys() == vars(want).keys() if hasattr(want, "__dict__") else True
        )
        pairs = zip(got.items(), want.items(), strict=True)
        return same_attributes and all(k == j and same(v, w) for (k, v), (j, w) in pairs)
    if isinstance(want, tuple | list):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(want, Box):
        return all(same(getattr(got, f.name), getattr(want, f.name)) for f in fields(want))
    return repr(got) == repr(want)


@pytest.mark.parametrize("name", VALUES)
def test_there_and_back(name: str) -> None:
    value = VALUES[name]
    leaves, tree = flatten(value)
    assert tree.num_leaves == len(leaves) == len(leaf_paths(tree))
    assert same(tree.unflatten(leaves), value)
    assert all(got is want for got, want in zip(tree.match(value), leaves, strict=True))


@pytest.mark.parametrize("name", VALUES)
def test_json_round_trip(name: str) -> None:
    value = VALUES[name]
    leaves, tree = flatten(value)
    again = Tree.from_json(json.loads(json.dumps(tree.to_json(), allow_nan=False)))
    assert again == tree
    assert hash(again) == hash(tree)
    assert same(again.unflatten(leaves), value)


def test_trees_differ_by_structure_constant_and_class() -> None:
    trees = [flatten(value)[1] for value in VALUES.values() if not isinstance(value, Placeholder)]
    trees += [flatten(v)[1] for v in ((1,), (True,), (1.0,), (0.0,), (-0.0,), {1: X}, {True: X})]
    distinct = [t for i, t in enumerate(trees) if t not in trees[:i]]
    assert len(distinct) == len(trees) - 1  # "tensor" and "torch" are both one leaf
    assert flatten(math.nan)[1] == flatten(math.nan)[1]


def test_leaf_paths() -> None:
    paths = leaf_paths(flatten((X, {"mask": Y, 4: Pair(X, Y)}, Box([X])))[1])
    assert paths == ["0", "1.mask", "1.4.left", "1.4.right", "2.corner.0"]


def test_fields_without_init_are_kept() -> None:
    box = Box(X)
    object.__setattr__(box, "area", Y)
    leaves, tree = flatten(box)
    again = tree.unflatten(leaves)
    assert again.corner is X
    assert again.area is Y


def test_absent_fields_of_an_output_stay_absent() -> None:
    leaves, tree = flatten(Output(logits=X))
    assert leaf_paths(tree) == ["logits"]
    assert list(tree.unflatten(leaves).keys()) == ["logits"]


def test_dict_order_is_the_trees() -> None:
    tree = flatten({"a": X, "b": Y})[1]
    first, second = tree.match({"b": Y, "a": X})
    assert first is X
    assert second is Y


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((X, {"ids": {1, 2}}), r"1\.ids is builtins\.set, not a tensor"),
        ([object()], r"0 is builtins\.object, not a tensor"),
        (np.float32(1), r"numpy\.float32.*\n.*numpy\.asarray"),
        ({(1, 2): X}, r"the value has the key \(1, 2\) of tuple"),
        (torch.float32, r"torch\.dtype, not a tensor"),
        (torch.Tensor, r"not a tensor"),
    ],
)
def test_refused(value: Any, words: str) -> None:
    with pytest.raises(ConversionError, match=words):
        flatten(value)


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(ConversionError, match="deeper than 64"):
        flatten(loop)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((X, [Y]), r"m\.1 was a tuple at conversion, and now is a list"),
        ((X, (Y, Y)), r"m\.1 had 1 items at conversion, and now has 2 items"),
        ((None, (Y,)), r"m\.0 was a tensor at conversion, and now is None"),
        ((X,), r"m had 2 items at conversion, and now has 1 items"),
    ],
)
def test_mismatch(value: Any, words: str) -> None:
    with pytest.raises(RunError, match=words):
        flatten((X, (Y,)))[1].match(value, "m")


def test_constant_mismatch_names_both_values() -> None:
    tree = flatten({"flag": True})[1]
    with pytest.raises(RunError, match="flag was fixed at conversion to True, and now is 1"):
        tree.match({"flag": 1})


def test_wrong_number_of_leaves() -> None:
    with pytest.raises(RunError, match="holds 2 tensors, and 1 were given"):
        flatten((X, Y))[1].unflatten([X])


def test_local_class_cannot_be_saved() -> None:
    @dataclass
    class Local:
        x: Any

    tree = flatten(Local(X))[1]
    assert tree.unflatten([Y]).x is Y
    with pytest.raises(ConversionError, match="Local is defined inside a function"):
        tree.to_json()


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        ({"record": "no_such_module:Out", "fields": []}, "no_such_module:Out, which cannot be"),
        ({"record": "collections:Nothing", "fields": []}, "collections:Nothing, which cannot be"),
        ({"record": "subprocess:Popen", "fields": []}, "neither a dataclass nor a named tuple"),
        ({"set": []}, "not a structure"),
        (["tensor"], "not a structure"),
        (7, "not a structure"),
    ],
)
def test_damaged_json(obj: Any, words: str) -> None:
    with pytest.raises(LoadError, match=words):
        Tree.from_json(obj)


def test_a_dict_whose_attributes_are_its_items() -> None:
    class Items(dict[str, torch.Tensor]):
        __getattr__ = dict.__getitem__

    with pytest.raises(ConversionError, match="Items, not a tensor"):
        flatten(Items(x=torch.ones(2)))
