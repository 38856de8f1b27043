"""What flows where in a captured graph: what has to run before what, for a graph in parts.

A number or size is no value of its own here: it is read again, from the shape or from the tensor,
wherever it is used. Neither is an operator that no input reaches: it goes with those that use it.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.utils._pytree import SequenceKey

from trtdsl.capture import Captured
from trtdsl.errors import ConversionError, explain
from trtdsl.export.asserted import CHECKS, only_checked
from trtdsl.measure import symbols_of
from trtdsl.nodes import is_symbolic, several, source_of
from trtdsl.parts.sizing import Measure, linear
from trtdsl.report import is_known
from trtdsl.types import DType

__all__ = [
    "Flow",
    "is_convertible",
    "is_pinned",
    "is_random",
    "producer",
    "symbols_in",
    "tensors_of",
]


def tensors_of(node: Node) -> Iterator[torch.Tensor]:
    """The fake tensors that a node gives."""
    return (v for v in several(node.meta.get("val")) if isinstance(v, torch.Tensor))


def symbols_in(value: Any) -> set[Any]:
    """PyTorch's symbols in a size, in the shape of a tensor, or in a list of these."""
    if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        return set(value.node.expr.free_symbols)
    if isinstance(value, torch.Tensor):
        return {s for d in value.shape for s in symbols_in(d)}
    if isinstance(value, list | tuple):
        return {s for v in value for s in symbols_in(v)}
    return set()


def producer(node: Node) -> Node:
    """The operator that made a value, of which it may be one of several."""
    while node.target is operator.getitem:
        (node,) = node.all_input_nodes
    return node


def is_random(node: Node) -> bool:
    """Whether an operator, or one in a body that it is given, draws random numbers."""
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        return True
    return any(is_random(n) for body in _bodies(node) for n in body.graph.nodes)


def is_convertible(node: Node) -> bool:
    """Whether an operator has a converter, and TensorRT the dtypes that it takes and gives."""
    known = {torch.complex64} | {d.torch for d in DType}
    dtypes = {x.dtype for n in (node, *node.all_input_nodes) for x in tensors_of(n)}
    inner = (n for body in _bodies(node) for n in body.graph.nodes if _computes(n))
    return is_known(node) and dtypes <= known and all(map(is_convertible, inner))


def _bodies(node: Node) -> Iterator[GraphModule]:
    """The graphs that an operator is given to run."""
    for value in node.all_input_nodes:
        if value.op == "get_attr":
            body = operator.attrgetter(str(value.target))(node.graph.owning_module)
            if isinstance(body, GraphModule):
                yield body


class Flow:
    """A captured graph as what each operator needs of others."""

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.graph = captured.module.graph
        self.inputs = {node for node, _ in captured.inputs}
        self.in_torch: set[Node] = set()
        """The operators that no engine computes; whoever fills it in calls ``settle``."""
        self._before: dict[Node, frozenset[Node]] = {}
        self._reached: set[Node] = set()

    def settle(self) -> None:
        """Forget what was found while other operators were in PyTorch."""
        self._before.clear()
        self._reached = self._find_reached(self.in_torch)
        # What is to be computed only once, but of constants alone, is not worth an engine.
        read = (tensor for tensor, _ in self.measured.values())
        once = {producer(n) for n in (*self.captured.outputs, *read)}
        self.in_torch |= {n for n in once - self._reached if _computes(n)}
        self._reached = self._find_reached(self.in_torch)

    @cached_property
    def operators(self) -> tuple[Node, ...]:
        """What computes tensors that an output needs, in the graph's order."""
        needed: set[Node] = set()
        unneeded = only_checked(self.graph)
        for node in reversed(self.graph.nodes):
            reads = node in needed or node in self.captured.outputs
            if reads and node not in unneeded:
                needed |= {node, *node.all_input_nodes}
                needed |= {n for maker in self._makers(node) for n in (maker, producer(maker))}
        return tuple(n for n in self.graph.nodes if n in needed and _computes(n))

    @cached_property
    def measured(self) -> dict[Any, tuple[Node, Measure]]:
        """By PyTorch's symbol for a number that values decide, what to read it from, and how."""
        nodes = list(self.graph.nodes)
        made = ((node, *item) for node in nodes for item in symbols_of(node).items())
        return {symbol: self._measure(node, symbol, path) for node, symbol, path in made}

    def _measure(self, node: Node, symbol: Any, path: Any) -> tuple[Node, Measure]:
        low, high = self.captured.bounds.get(symbol, (None, None))
        place = source_of(node, self.captured.prefix).line
        measure = partial(Measure, symbol=str(symbol), low=low, high=high, place=place)
        if is_symbolic(node):
            (tensor,) = node.all_input_nodes
            return tensor, measure(value=tensor.name)
        tensor = _item(node, path[0].idx) if isinstance(path[0], SequenceKey) else node
        for axis, size in enumerate(tensor.meta["val"].shape):
            if (of := linear(size, symbol)) is not None:
                return tensor, measure(value=tensor.name, axis=axis, scale=of[0], offset=of[1])
        raise ConversionError(
            explain(
                f"no size of what {node.target} gives is its number {symbol}",
                at=place,
                fix="convert without fallback, or pad what it gives to a fixed size",
            )
        )

    def _makers(self, node: Node) -> set[Node]:
        symbols = symbols_in(node.meta.get("val"))
        return {self.measured[s][0] for s in symbols if s in self.measured}

    def is_part_of_users(self, node: Node) -> bool:
        """Whether an operator is computed anew in each part that uses it: no input reaches it."""
        return _computes(node) and node not in self._reached

    def before(self, node: Node) -> frozenset[Node]:
        """The operators of other parts or of this one that an operator directly needs."""
        return self._union(node.all_input_nodes)

    def _of(self, value: Node) -> frozenset[Node]:
        if value not in self._before:
            self._before[value] = self._found(value)
        return self._before[value]

    def _found(self, value: Node) -> frozenset[Node]:
        if value.op != "call_function":
            return frozenset()
        if is_symbolic(value):
            return self._union(self._makers(value))
        value = producer(value)
        if self.is_part_of_users(value):
            return self._union(value.all_input_nodes)
        return frozenset([value]) if value.op == "call_function" else frozenset()

    def _union(self, values: Iterable[Node]) -> frozenset[Node]:
        return frozenset[Node]().union(*map(self._of, values))

    def _find_reached(self, kept: set[Node]) -> set[Node]:
        """What an input reaches, or one of those that are kept."""
        found: set[Node] = set(self.inputs)
        for node in self.graph.nodes:
            once = node in kept or _has_body(node) or is_pinned(node)
            reached = any(n in found for n in node.all_input_nodes)
            if (once or reached) and not is_symbolic(node):
                found.add(node)
        return found


def is_pinned(node: Node) -> bool:
    """Whether an operator stands for a module that a plugin computes, which PyTorch cannot run."""
    return node.target is torch.ops.trtdsl.module_plugin.default


def _computes(node: Node) -> bool:
    own = node.op == "call_function" and node.target is not operator.getitem
    return own and not is_symbolic(node) and str(node.target) not in CHECKS


def _has_body(node: Node) -> bool:
    return isinstance(node.target, torch._ops.HigherOrderOperator)


def _item(node: Node, index: int) -> Node:
    """One of the values that an operator gives, as a node of the graph."""
    for user in node.users:
        if user.target is operator.getitem and user.args[1] == index:
            return user
    with node.graph.inserting_after(node):
        made = node.graph.call_function(operator.getitem, (node, index))
    made.meta = {**node.meta, "val": node.meta["val"][index]}
    made.meta.pop("unbacked_bindings")
    return made
