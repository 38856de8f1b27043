"""Recipes: how each of an engine's weights is made from the model's ``state_dict``.

A weight that TensorRT holds is seldom one of the model's: batch norms were folded into it, it was
transposed or cast. All of that was written as layers, so the recipe is those layers: a small
expression over keys of the ``state_dict``, which goes into the manifest as JSON and is evaluated
again by the layers themselves, as it was at conversion.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from trtdsl.errors import LoadError, RunError, explain
from trtdsl.ir.base import Layer
from trtdsl.ir.constant import digest
from trtdsl.weights.recipe_json import (
    layer_from_json,
    layer_to_json,
    tensor_from_json,
    tensor_to_json,
)
from trtdsl.weights.state import StateKey

if TYPE_CHECKING:
    import torch

__all__ = ["Apply", "Fixed", "Key", "Made", "Node", "Recipes", "Value"]


@dataclass(frozen=True, kw_only=True)
class Key:
    """A tensor of the ``state_dict``, by the network's name for it."""

    weight: str


@dataclass(frozen=True, eq=False, kw_only=True)
class Value:
    """A tensor that no key decides."""

    tensor: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Apply:
    """A layer of earlier nodes: each input is the index of a node and of one of its outputs."""

    layer: Layer
    inputs: tuple[tuple[int, int], ...]


Node: TypeAlias = Key | Value | Apply


@dataclass(frozen=True, kw_only=True)
class Made:
    """A weight of the engine: the node and output that it is, in ``dtype`` for TensorRT."""

    node: int
    output: int
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A key that a refit cannot change: ``where`` it ended, and the digest of its value there.

    The digest is empty where there is no one value, as of the parts of a complex number.
    """

    where: str
    sha256: str

    def is_still(self, value: torch.Tensor) -> bool:
        """Whether a value is the one that the engine has."""
        return self.sha256 == digest(value)


@dataclass(frozen=True, kw_only=True)
class Recipes:
    """All recipes of an engine, by TensorRT's name of the weights.

    ``keys`` are the model's; ``fixed`` are the network's names of those that ended in the engine
    other than as weights.
    """

    keys: dict[str, StateKey]
    nodes: tuple[Node, ...]
    weights: dict[str, Made]
    fixed: dict[str, Fixed]

    def needs(self, name: str) -> frozenset[str]:
        """The network's names of all that a weight of the engine is made from."""
        found: set[str] = set()
        stack, seen = [self.weights[name].node], set()
        while stack:
            index = stack.pop()
            if index in seen:
                continue
            seen.add(index)
            match self.nodes[index]:
                case Key(weight=weight):
                    found.add(weight)
                case Apply(inputs=inputs):
                    stack += [node for node, _ in inputs]
        return frozenset(found)

    def make(
        self, names: Iterable[str], state: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """The engine's weights from the model's: contiguous, on the CPU, in TensorRT's dtype.

        Errors: RunError for one that does not fit its dtype, such as 1e5 in float16.
        """
        import torch

        values: dict[int, Any] = {}
        made: dict[str, torch.Tensor] = {}
        with torch.no_grad():
            for name in names:
                value = self._value(self.weights[name], state, values)
                made[name] = value.to(getattr(torch, self.weights[name].dtype)).contiguous()
                if needs := self.needs(name):
                    _require_fit(made[name], value, f"{name}, made of {', '.join(sorted(needs))},")
        return made

    def _value(
        self, made: Made, state: Mapping[str, torch.Tensor], values: dict[int, Any]
    ) -> torch.Tensor:
        stack = [made.node]
        while stack:
            node = self.nodes[stack[-1]]
            inputs = node.inputs if isinstance(node, Apply) else ()
            missing = [index for index, _ in inputs if index not in values]
            stack += missing
            if not missing:
                result = _evaluated(node, state, [values[i][output] for i, output in inputs])
                values[stack.pop()] = result if isinstance(result, tuple) else (result,)
        value: torch.Tensor = values[made.node][made.output]
        return value

    def to_json(self) -> dict[str, Any]:
        return {
            "keys": {name: key.to_json() for name, key in self.keys.items()},
            "nodes": [_node_to_json(node) for node in self.nodes],
            "weights": {n: [m.node, m.output, m.dtype] for n, m in self.weights.items()},
            "fixed": {name: [f.where, f.sha256] for name, f in self.fixed.items()},
        }

    @classmethod
    def from_json(cls, obj: Any) -> Recipes:
        """The recipes that ``to_json`` wrote. Errors: LoadError (damage)."""
        try:
            return cls(
                keys={str(name): StateKey.from_json(key) for name, key in obj["keys"].items()},
                nodes=tuple(_node_from_json(i, node) for i, node in enumerate(obj["nodes"])),
                weights={
                    str(name): Made(node=int(node), output=int(output), dtype=str(dtype))
                    for name, (node, output, dtype) in obj["weights"].items()
                },
                fixed={
                    str(name): Fixed(where=str(where), sha256=str(sha256))
                    for name, (where, sha256) in obj["fixed"].items()
                },
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise LoadError(
                explain(
                    f"the recipes of the engine's weights are damaged: {error}",
                    fix="save the engine again",
                )
            ) from error


def _evaluated(
    node: Node, state: Mapping[str, torch.Tensor], inputs: list[torch.Tensor]
) -> torch.Tensor | tuple[torch.Tensor, ...]:
    match node:
        case Key(weight=weight):
            return state[weight]
        case Value(tensor=tensor):
            return tensor
        case Apply(layer=layer):
            result: torch.Tensor | tuple[torch.Tensor, ...] = layer.evaluate(*inputs)
            return result


def _is_finite(made: torch.Tensor) -> bool:
    """By its extremes, which are NaN where anything is: ten times as fast as ``isfinite``."""
    return made.numel() == 0 or all(x.isfinite() for x in made.aminmax())


def _require_fit(made: torch.Tensor, value: torch.Tensor, what: str) -> None:
    """Refuse a value that TensorRT's dtype cannot hold."""
    changed = not made.dtype.is_floating_point and not bool((made == value).all())
    beyond = made.dtype.itemsize == 2 and not _is_finite(made)
    if changed or beyond:
        raise RunError(
            explain(
                f"the weights {what} would hold {float(value.min()):g} to {float(value.max()):g} "
                f"in {str(made.dtype).removeprefix('torch.')}",
                fix="convert with a wider precision, or give smaller weights",
            )
        )


def _node_to_json(node: Node) -> dict[str, Any]:
    match node:
        case Key(weight=weight):
            return {"key": weight}
        case Value(tensor=tensor):
            return {"value": tensor_to_json(tensor)}
        case Apply(layer=layer, inputs=inputs):
            return {**layer_to_json(layer), "inputs": [list(pair) for pair in inputs]}


def _node_from_json(index: int, obj: Mapping[str, Any]) -> Node:
    if "key" in obj:
        return Key(weight=str(obj["key"]))
    if "value" in obj:
        return Value(tensor=tensor_from_json(obj["value"]))
    inputs = tuple((int(node), int(output)) for node, output in obj["inputs"])
    if not all(0 <= node < index for node, _ in inputs):
        raise ValueError(f"node {index} reads {inputs}, which do not come before it")
    return Apply(layer=layer_from_json(obj), inputs=inputs)
