"""The parts of a captured graph as networks and as modules of PyTorch, ready to be built."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import sympy
import torch
from torch.fx import GraphModule, Node

from trtdsl import walk
from trtdsl.capture import Captured
from trtdsl.errors import ConversionError
from trtdsl.network import Network
from trtdsl.nodes import is_symbolic
from trtdsl.parts.cutting import Cut, EngineCut, TorchCut
from trtdsl.parts.flow import Flow, is_pinned, producer, symbols_in
from trtdsl.parts.partition import Part
from trtdsl.parts.sizing import Measure, linear
from trtdsl.tree import Placeholder, flatten
from trtdsl.types import DimRange

__all__ = ["Piece", "Refused", "pieces"]


class Refused(Exception):
    """Operators that no engine computes after all, each with the reason."""

    def __init__(self, reasons: Mapping[Node, str]) -> None:
        super().__init__(reasons)
        self.reasons = reasons


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part, cut out; what it gives to others, and the numbers to be measured before it runs."""

    cut: Cut
    outputs: tuple[Node, ...]
    measures: tuple[Measure, ...]
    made: Network | GraphModule


def pieces(flow: Flow, parts: Sequence[Part], *, name: str) -> list[Piece]:
    """Each part with its network, or its module of PyTorch.

    Errors: Refused where a converter refuses its arguments, or a size has no upper bound;
    ConversionError for what PyTorch cannot run in its place.
    """
    cuts = [(TorchCut if p.in_torch else EngineCut)(flow=flow, part=p) for p in parts]
    measures, wanted = _measures(flow, cuts)
    wanted |= dict.fromkeys(n for cut in cuts for n in cut.taken.values())
    wanted |= dict.fromkeys(flow.captured.outputs)
    ranges = _given_ranges(flow)
    made: list[Piece] = []
    for cut, own in zip(cuts, measures, strict=True):
        outputs = tuple(n for n in wanted if producer(n) in cut.own)
        if isinstance(cut, TorchCut):
            result: Network | GraphModule = cut.finish(outputs)
        else:
            result = _network(cut, outputs, ranges, f"{name}.{len(made)}")
        made.append(Piece(cut=cut, outputs=outputs, measures=own, made=result))
    return made


def _measures(
    flow: Flow, cuts: Sequence[Cut]
) -> tuple[list[tuple[Measure, ...]], dict[Node, None]]:
    """What to measure before each part, and the tensors that are needed for it."""
    known: set[Any] = set()
    found: list[tuple[Measure, ...]] = []
    wanted: dict[Node, None] = {}
    for cut in cuts:
        own = []
        for symbol in cut.numbers.values():
            if symbol in flow.measured and symbol not in known:
                tensor, measure = _nearest(flow, cut, symbol)
                wanted[tensor] = None
                own.append(measure)
                known.add(symbol)
        found.append(tuple(own))
    return found, wanted


def _nearest(flow: Flow, cut: Cut, symbol: Any) -> tuple[Node, Measure]:
    """How to know a number: by the size of what a part takes anyway, where there is one."""
    tensor, measure = flow.measured[symbol]
    for taken in cut.taken.values():
        for axis, size in enumerate(taken.meta["val"].shape):
            if (of := linear(size, symbol)) is not None:
                return taken, Measure(
                    symbol=measure.symbol,
                    value=taken.name,
                    axis=axis,
                    scale=of[0],
                    offset=of[1],
                    low=measure.low,
                    high=measure.high,
                    place=measure.place,
                )
    return tensor, measure


def _given_ranges(flow: Flow) -> dict[Any, DimRange]:
    """The ranges of the sizes of the model's inputs, and of what ``torch._check`` bounds."""
    captured = flow.captured
    ranges = {s: captured.symbols[n] for s, n in captured.names.items() if n in captured.symbols}
    for symbol in flow.measured:
        low, high = captured.bounds.get(symbol, (None, None))
        if low is not None and low >= 0 and high is not None:
            ranges[symbol] = DimRange(min=low, opt=high, max=high)
    return ranges


def _network(
    cut: EngineCut, outputs: Sequence[Node], ranges: dict[Any, DimRange], name: str
) -> Network:
    open_sizes = sorted(cut.symbols - ranges.keys(), key=str)
    if open_sizes:
        raise Refused(_of_open_size(cut, open_sizes[0]))
    captured = _captured(cut, outputs, ranges)
    try:
        network = walk.network(captured, name=name)
    except ConversionError as error:
        reasons = _blamed(cut, error)
        if not reasons:
            raise
        raise Refused(reasons) from error
    for node, tensor in zip(outputs, network.outputs, strict=True):
        for axis, size in enumerate(node.meta["val"].shape):
            _learn(network, size, tensor.shape[axis], ranges)
    return network


def _of_open_size(cut: EngineCut, symbol: Any) -> dict[Node, str]:
    measure = cut.flow.measured[symbol][1]
    reason = (
        f"it has a size that values decide ({measure.place}), and an engine needs to know how "
        "large it can be: torch._check(n <= ...) says so"
    )
    own = (n for n in cut.part.nodes if not is_pinned(n))
    values = {n: [m.meta.get("val") for m in (n, *n.all_input_nodes)] for n in own}
    return {n: reason for n, vals in values.items() if any(symbol in symbols_in(v) for v in vals)}


def _blamed(cut: EngineCut, error: ConversionError) -> dict[Node, str]:
    """The operators that PyTorch is to run, as a converter has refused one."""
    node = cut.origins.get(error.node)
    if node is None:
        return {}
    reason = f"its converter refuses: {str(error).splitlines()[0]}"
    nodes = _users(node) if is_symbolic(node) else {producer(node)}
    return {n: reason for n in nodes if n.op == "call_function" and not is_pinned(n)}


def _users(node: Node) -> set[Node]:
    """The operators that compute with a number."""
    found: set[Node] = set()
    for user in node.users:
        found |= _users(user) if is_symbolic(user) else {user}
    return {n for n in found if isinstance(n.target, torch._ops.OperatorBase)}


def _learn(network: Network, theirs: Any, ours: Any, ranges: dict[Any, DimRange]) -> None:
    """Note the range of a size that an engine finds, for the parts after it."""
    for symbol in symbols_in(theirs) - ranges.keys():
        if linear(theirs, symbol) == (1, 0):
            low, high = network.bounds(ours)
            ranges[symbol] = DimRange(min=max(low, 0), opt=high, max=high)


def _captured(cut: EngineCut, outputs: Sequence[Node], ranges: Mapping[Any, DimRange]) -> Captured:
    whole = cut.flow.captured
    names: dict[Any, Any] = dict(whole.names)
    for symbol in cut.symbols - names.keys():
        names[symbol] = sympy.Symbol(str(symbol), integer=True, nonnegative=True)
    for placeholder, symbol in cut.numbers.items():
        size = names[symbol]
        size = sympy.Symbol(size, integer=True, positive=True) if isinstance(size, str) else size
        placeholder.meta["val"] = SimpleNamespace(dtype=torch.bool, shape=(size,))
    given = [*cut.taken, *cut.numbers]
    results = cut.finish(outputs)
    leaves = tuple(Placeholder(i) for i in range(len(results)))
    return Captured(
        module=GraphModule(whole.module, cut.graph),
        inputs=tuple(zip(given, _input_names(cut), strict=True)),
        weights=cut.weights,
        state={},
        outputs=tuple(results),
        symbols={str(names[symbol]): ranges[symbol] for symbol in cut.symbols},
        names=names,
        input_tree=flatten((tuple(Placeholder(i) for i in range(len(given))), {}))[1],
        output_tree=flatten(leaves)[1],
        parameters=(),
        prefix=whole.prefix,
        bounds=whole.bounds,
    )


def _input_names(cut: EngineCut) -> Iterator[str]:
    """The model's own names for its inputs, else the nodes'."""
    own = dict(cut.flow.captured.inputs)
    used = set(own.values())
    for node in cut.taken.values():
        name = own.get(node, node.name)
        while node not in own and name in used:
            name += "_"
        used.add(name)
        yield name
    names = cut.flow.captured.names
    yield from (f"size_of_{names.get(symbol, symbol)}" for symbol in cut.numbers.values())
