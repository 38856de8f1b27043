"""A part of a captured graph as a graph of its own, with what it takes from the others."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from trtdsl.measure import symbols_of
from trtdsl.nodes import is_symbolic
from trtdsl.parts.flow import Flow, producer, symbols_in
from trtdsl.parts.partition import Part
from trtdsl.parts.sizing import linear, written

__all__ = ["Cut", "EngineCut", "TorchCut", "is_complex"]

aten = torch.ops.aten
_STRIDED = {aten.as_strided.default, aten.as_strided_copy.default}


def is_complex(node: Node) -> bool:
    """Whether a node's value is a complex tensor, which engines take and give as pairs."""
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_complex()


@dataclass(kw_only=True)
class Cut:
    """A part's own graph, and the nodes of the whole graph that its placeholders stand for."""

    flow: Flow
    part: Part
    graph: Graph = field(default_factory=Graph)
    copies: dict[Node, Node] = field(default_factory=dict)
    origins: dict[Node, Node] = field(default_factory=dict)
    taken: dict[Node, Node] = field(default_factory=dict)
    """The placeholders of values of other parts and of the model's inputs."""
    numbers: dict[Node, Any] = field(default_factory=dict)
    """The placeholders that bring a number: PyTorch's symbol for it."""

    def __post_init__(self) -> None:
        self.own = set(self.part.nodes)
        self.last, self.count = self.graph._root, 0
        for node in self.part.nodes:
            self.copy_of(node)

    @property
    def placeholders(self) -> list[Node]:
        return [n for n in self.graph.nodes if n.op == "placeholder"]

    def copy_of(self, node: Node) -> Node:
        """What stands for a node in this part's graph, written when first asked for."""
        if node not in self.copies:
            self.copies[node] = made = self._made(node)
            self.origins.setdefault(made, node)
        return self.copies[node]

    def _made(self, node: Node) -> Node:
        if node.op == "get_attr" or node in self.flow.captured.weights:
            return self.constant(node)
        if is_symbolic(node):
            return self.number(node)
        if self.has(node):
            return self.operator(node)
        return self.take(node)

    def has(self, node: Node) -> bool:
        """Whether a value is computed here."""
        maker = producer(node)
        return maker in self.own or self.flow.is_part_of_users(maker)

    def placeholder(self, **meta: Any) -> Node:
        """A new one, at the start of the graph and behind the others."""
        self.count += 1
        with self.graph.inserting_after(self.last):
            self.last = self.graph.placeholder(f"given_{self.count}")
        meta.pop("unbacked_bindings", None)  # another part has found it
        self.last.meta = meta
        return self.last

    def take(self, node: Node) -> Node:
        """A value of another part."""
        placeholder = self.placeholder(**node.meta)
        self.taken[placeholder] = node
        return placeholder

    def constant(self, node: Node) -> Node:
        """A weight, or an attribute of the captured module."""
        raise NotImplementedError

    def number(self, node: Node) -> Node:
        """A size, or a number that is read from a tensor."""
        raise NotImplementedError

    def operator(self, node: Node) -> Node:
        """A call of an operator, or one of the values that it gives."""
        return self.graph.node_copy(node, self.copy_of)


@dataclass(kw_only=True)
class TorchCut(Cut):
    """A part for PyTorch: weights are attributes, numbers are arguments."""

    attributes: dict[str, Any] = field(default_factory=dict)
    symbols: dict[Any, Node] = field(default_factory=dict)
    """By PyTorch's symbol, the node that gives the number."""

    def finish(self, outputs: Sequence[Node]) -> GraphModule:
        """The module that gives these values of the whole graph, as a tuple."""
        for symbol, (tensor, measure) in self.flow.measured.items():
            if measure.is_bounded and producer(tensor) in self.own:
                self._symbol(symbol)  # which holds it to its bounds
        self.graph.output(tuple(self.copy_of(n) for n in outputs))
        return GraphModule(self.attributes, self.graph)

    def constant(self, node: Node) -> Node:
        captured = self.flow.captured
        if node in captured.weights:
            value, name = captured.weights[node]
        else:
            name = str(node.target)
            value = operator.attrgetter(name)(captured.module)
        value = value.detach() if isinstance(value, torch.Tensor) else value
        # A word before it, as a weight may be called what modules call a method.
        self.attributes[f"state.{name}"] = value
        made = self.graph.create_node("get_attr", f"state.{name}")
        made.meta = dict(node.meta)
        return made

    def number(self, node: Node) -> Node:
        return written(self.graph, node.meta["val"], self._symbol)

    def _symbol(self, symbol: Any) -> Node:
        if symbol not in self.symbols:
            tensor, measure = self.flow.measured.get(symbol, (None, None))
            if tensor is not None and measure is not None and producer(tensor) in self.own:
                self.symbols[symbol] = measure.write(self.graph, self.copy_of(tensor))
            else:
                self.symbols[symbol] = placeholder = self.placeholder()
                self.numbers[placeholder] = symbol
        return self.symbols[symbol]

    def operator(self, node: Node) -> Node:
        copies = {n: self.copy_of(n) for n in node.all_input_nodes}
        if node.target is operator.getitem or not isinstance(node.target, torch._ops.OpOverload):
            return self.graph.node_copy(node, copies.__getitem__)
        if node.target in _STRIDED:  # what an engine gives lies in memory in order
            (read,) = node.all_input_nodes[:1]
            copies[read] = self.graph.call_function(aten.contiguous.default, (copies[read],))
        for given, copy in list(copies.items()):
            if wide := given.meta.get("double"):
                copies[given] = self.graph.call_function(aten.to.dtype, (copy, wide))
        made = self.graph.node_copy(node, copies.__getitem__)
        if node.meta.get("double") and isinstance(node.meta["val"], torch.Tensor):
            made = self.graph.call_function(aten.to.dtype, (made, node.meta["val"].dtype))
        return made


@dataclass(kw_only=True)
class EngineCut(Cut):
    """A part for an engine: weights are placeholders, sizes are those of its inputs."""

    symbols: set[Any] = field(default_factory=set)
    """PyTorch's symbols for the sizes of the inputs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        nodes = [n for n in self.graph.nodes if "val" in n.meta]
        needed = {s for n in nodes for s in symbols_in(n.meta["val"])}
        needed -= {s for n in nodes for s in symbols_of(n)}
        for symbol in sorted(needed - set(self._carried()), key=str):
            self.numbers[self.placeholder()] = symbol
        self.symbols = needed

    def _carried(self) -> Iterator[Any]:
        """The symbols that a size of an input gives by itself."""
        for node in self.taken:
            for size in node.meta["val"].shape:
                yield from (s for s in symbols_in(size) if linear(size, s))

    @property
    def weights(self) -> dict[Node, tuple[torch.Tensor, str]]:
        given = self.taken.keys() | self.numbers.keys()
        own = [n for n in self.placeholders if n not in given]
        return {n: self.flow.captured.weights[self.origins[n]] for n in own}

    def constant(self, node: Node) -> Node:
        if node.op == "get_attr":
            return self.graph.node_copy(node)
        return self.placeholder(**node.meta)

    def take(self, node: Node) -> Node:
        placeholder = super().take(node)
        if not is_complex(node):
            return placeholder
        placeholder.meta["val"] = torch.view_as_real(node.meta["val"])
        pair = self.graph.call_function(aten.view_as_complex.default, (placeholder,))
        pair.meta = dict(node.meta)
        return pair

    def number(self, node: Node) -> Node:
        """A size says itself what it is; what is read from a tensor is read again here."""
        symbols = symbols_in(node.meta["val"])
        read = {s for s in symbols if s in self.flow.measured and self._is_read(s)}
        if read and node.target is not aten.sym_size.int:
            return self.graph.node_copy(node, self.copy_of)
        made = self.graph.call_function(_size, ())
        made.meta = {k: v for k, v in node.meta.items() if k != "unbacked_bindings"}
        return made

    def _is_read(self, symbol: Any) -> bool:
        tensor, measure = self.flow.measured[symbol]
        if measure.axis is not None:
            return False
        bounded = measure.low is not None and measure.low >= 0 and measure.high is not None
        return producer(tensor) in self.own or not bounded

    def finish(self, outputs: Sequence[Node]) -> list[Node]:
        """What gives these values of the whole graph; complex ones as pairs."""
        found = []
        for node in outputs:
            copy = self.copy_of(node)
            if is_complex(node):
                pair = self.graph.call_function(aten.view_as_real.default, (copy,))
                pair.meta = {**node.meta, "val": torch.view_as_real(node.meta["val"])}
                copy = pair
            found.append(copy)
        self.graph.output(tuple(found))
        return found


def _size() -> None:
    """Stands in a graph for a size, which is the node's own."""
