"""A captured graph in parts that run one after the other: engines, and PyTorch between them.

The number of engines is the least there can be: the most runs of convertible operators that any
path through the graph has, with others between them. Branches that need not wait for each other
share an engine.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from torch.fx import Node

from trtdsl.parts.flow import Flow, is_random

__all__ = ["LEAST", "Part", "partition"]

LEAST = 3
"""So many operators are worth a call of an engine; a matrix product or convolution alone is."""

_MATRIX = {
    "_convolution", "addbmm", "addmm", "addmv", "baddbmm", "bilinear", "bmm", "conv1d", "conv2d",
    "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution", "einsum",
    "grouped_mm", "gru", "istft", "linear", "lstm", "matmul", "mm", "module_plugin", "mv",
    "rnn_relu", "rnn_tanh", "scaled_dot_product_attention", "stft",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Part:
    """Operators that run together, in one engine or in PyTorch, in the graph's order."""

    in_torch: bool
    nodes: tuple[Node, ...]


def partition(flow: Flow) -> tuple[list[Part], set[Node]]:
    """The parts in their order, and the operators that are left to PyTorch for being too few.

    ``flow.in_torch`` are the operators that have to be in PyTorch; the others are added to it.
    """
    left: set[Node] = set()
    while True:
        flow.settle()
        parts = _parts(flow)
        small = [part for part in parts if not part.in_torch and not _pays(part.nodes)]
        if not small:
            return parts, left
        few = _leading_on(flow, min(small, key=lambda part: len(part.nodes)).nodes)
        flow.in_torch |= few
        left |= few


def _parts(flow: Flow) -> list[Part]:
    """In each stage an engine, and then what PyTorch computes."""
    order = _stages(flow)
    _join(flow, order)
    parts: dict[tuple[int, bool], list[Node]] = {}
    for node, stage in order.items():
        parts.setdefault((stage, node in flow.in_torch), []).append(node)
    return [Part(in_torch=key[1], nodes=tuple(parts[key])) for key in sorted(parts)]


def _stages(flow: Flow) -> dict[Node, int]:
    """The earliest stage of each operator: how many engines run before it, or are its own."""
    order: dict[Node, int] = {}
    drawn = 0
    for node in flow.operators:
        if flow.is_part_of_users(node):
            continue
        in_torch = node in flow.in_torch
        draws = in_torch and is_random(node)
        first = drawn if draws else 0 if in_torch else 1
        stage = max([first, *(_after(flow, n, order, in_torch) for n in flow.before(node))])
        if draws:  # in the order of the model, so that a seed gives the same numbers
            drawn = stage
        order[node] = stage
    return order


def _join(flow: Flow, order: dict[Node, int]) -> None:
    """Let what PyTorch computes in one stage wait for the next, where no engine needs it before."""
    needed: dict[int, float] = {}
    for node, stage in order.items():
        if node not in flow.in_torch:
            for before in flow.before(node) & flow.in_torch:
                at = order[before]
                needed[at] = min(needed.get(at, stage), stage)
    stages = sorted({stage for node, stage in order.items() if node in flow.in_torch})
    for stage, later in pairwise(stages):
        first = needed.get(stage, math.inf)
        if first > later:
            needed[later] = min(needed.get(later, math.inf), first)
            order.update((n, later) for n, s in order.items() if s == stage and n in flow.in_torch)


def _after(flow: Flow, node: Node, order: dict[Node, int], in_torch: bool) -> int:
    """The earliest stage of what needs a node: an engine waits for PyTorch until the next one."""
    return order[node] + (node in flow.in_torch and not in_torch)


def _leading_on(flow: Flow, nodes: Sequence[Node]) -> set[Node]:
    """Of a part those that PyTorch waits for; the others may join a later engine."""
    needed: set[Node] = set()
    for node in reversed(flow.operators):
        if node in needed or node in flow.in_torch:
            needed |= flow.before(node)
    return needed.intersection(nodes) or set(nodes)


def _pays(nodes: Sequence[Node]) -> bool:
    names = list(_computing(nodes))
    return len(names) >= LEAST or not _MATRIX.isdisjoint(names)


def _computing(nodes: Sequence[Node]) -> Iterator[str]:
    """The names of the operators that do more than to look at a tensor in another way."""
    for node in nodes:
        schema: Any = getattr(node.target, "_schema", None)
        returns = schema.returns if schema else ()
        if not any(r.alias_info for r in returns):
            yield schema.name.partition("::")[2] if schema else str(node.target)
