"""``Report``: every operator of a model that has no converter, all at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.fx import Graph, GraphModule, Node

from trtdsl.capture import Captured
from trtdsl.control import OPERATORS
from trtdsl.export.asserted import CHECKS, only_checked
from trtdsl.measure import symbols_of
from trtdsl.nodes import REGIONS, call_of, converter_of, is_symbolic, source_of
from trtdsl.source import Source
from trtdsl.stubs import layer_note, source

__all__ = ["READS", "Report", "Unsupported", "advice", "is_known", "report"]

READS = {"aten.item.default", "aten._local_scalar_dense.default"}
"""The operators that read a number from a tensor."""

_REGISTER = "@trtdsl.converter"
_FACTORS = re.compile(
    r"aten\.(_?linalg_(eig|qr|svd|lu|ldl|lstsq|pinv|householder)|geqrf|lu|_lu|qr|svd|pinverse)"
)


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """An operator that has no converter, and where the model uses it."""

    operator: str
    calls: tuple[str, ...]
    """Its different calls: ``aten.foo.default(f32[1, 8], 2)``."""
    places: tuple[Source, ...]
    fix: str
    """What to do about it."""

    @property
    def wants_converter(self) -> bool:
        """Whether a converter or a plugin is the way, and not a change to the model."""
        return self.fix.startswith(_REGISTER)

    def __str__(self) -> str:
        modules = ((p.line, f" (module {p.module})" if p.module else "") for p in self.places)
        places = [f"{line}{module}".strip() for line, module in dict.fromkeys(modules)]
        lines = [f"  {call}" for call in _first(self.calls)]
        lines += [f"    at:  {place}" for place in _first(places) if place]
        uses = f"{len(self.places)} use{'s' * (len(self.places) > 1)}"
        lines.append(f"    fix: {uses}; {self.fix}")
        if note := layer_note(self.operator):
            lines.append(f"    trt: {note}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What ``check`` found: ``ok``, the number of operators, and those without a converter."""

    operators: int
    unsupported: tuple[Unsupported, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every operator has a converter."""
        return not self.unsupported

    def __bool__(self) -> bool:
        return self.ok

    def stubs(self) -> str:
        """Python with a plugin or a converter to fill in for each operator that wants one."""
        return source([missing.operator for missing in self.unsupported if missing.wants_converter])

    def __str__(self) -> str:
        if self.ok:
            one = self.operators == 1
            return (
                "its one operator has a converter"
                if one
                else f"all {self.operators} operators have converters"
            )
        count = len(self.unsupported)
        has = "operators have" if count > 1 else "operator has"
        lines = [f"{count} {has} no converter", *map(str, self.unsupported)]
        if self.stubs():
            lines.append(
                "to fill in: report.stubs() of trtdsl.check, or `trtdsl check --stub FILE`"
            )
        return "\n".join(lines)


def _first(lines: Sequence[str]) -> list[str]:
    """The first three, and how many there are more."""
    more = len(lines) - 3
    return [*lines[:3], f"and {more} more"] if more > 0 else list(lines)


def report(captured: Captured) -> Report:
    """Every operator of a captured graph that has no converter."""
    nodes = list(_nodes(captured.module))
    targets = {str(n.target) for n in nodes}
    missing: dict[str, list[Node]] = {}
    unknown = [n for n in nodes if not is_known(n)]
    for node in unknown:
        missing.setdefault(str(node.target), []).append(node)
    unsupported = tuple(
        Unsupported(
            operator=target,
            calls=tuple(dict.fromkeys(call_of(node, captured.names) for node in uses)),
            places=tuple(source_of(node, captured.prefix) for node in uses),
            fix=advice(uses[0]),
        )
        for target, uses in missing.items()
    )
    return Report(operators=len(targets), unsupported=unsupported)


def is_known(node: Node) -> bool:
    """Whether an operator has a converter, or needs none."""
    target = str(node.target)
    if is_symbolic(node) and not symbols_of(node):
        return True
    known = target in CHECKS or target in REGIONS or target in OPERATORS
    return known or converter_of(node) is not None


def _nodes(module: GraphModule) -> Iterator[Node]:
    """The calls of operators, but for those that only checks read."""
    graphs: list[Graph] = [m.graph for m in module.modules() if isinstance(m, GraphModule)]
    for graph in graphs:
        unneeded = only_checked(graph)
        calls = (n for n in graph.nodes if n.op == "call_function" and n not in unneeded)
        yield from (n for n in calls if isinstance(n.target, torch._ops.OperatorBase))


def advice(node: Node) -> str:
    """What to do about an operator that has no converter."""
    if str(node.target) in READS:
        return "leave the number in its tensor, without item(), int(), float() or bool()"
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return "compute every branch and choose with torch.where; loops and branches are not yet"
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        return "an engine draws no random numbers; draw them outside and pass them as an input"
    if _FACTORS.match(str(node.target)):
        return (
            "TensorRT factors no matrices; compute the factors outside of the model, and pass them "
            "as inputs or buffers"
        )
    if symbols_of(node):
        return (
            "its size depends on values; keep the size and mark what counts, with torch.where, "
            "masked_fill or topk"
        )
    return f'{_REGISTER}(torch.ops.{node.target}), see CONTRIBUTING.md, "add a converter"'
