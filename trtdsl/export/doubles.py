"""float64, which TensorRT does not have, taken out of an exported graph.

What no input reaches is computed by PyTorch in float64 and rounded once, where something else
reads it. What an input reaches is computed in float32 from there on, and a warning tells where. An
input or output of float64 is refused: an engine's would be another. The same holds for complex128.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from trtdsl.errors import ConversionError, explain
from trtdsl.held import PrecisionWarning
from trtdsl.source import Source

__all__ = ["without_doubles"]

_NARROW = {torch.float64: torch.float32, torch.complex128: torch.complex64}

Weights = Mapping[Node, tuple[torch.Tensor, str]]


def without_doubles(module: GraphModule, weights: Weights) -> Weights:
    """Rewrite a graph, and those nested in it, in place; the weights, none of float64.

    Errors: ConversionError for an output of float64, and a constant too large for float32.
    """
    graphs = [m for m in module.modules() if isinstance(m, GraphModule)]
    if not any(_is_double(n) for m in graphs for n in m.graph.nodes):
        return weights
    if any(_is_double(n) for n in module.graph.nodes if _is_input(n, weights, module)):
        return weights  # to be refused by name
    _refuse_outputs(module.graph)
    known: dict[Node, Any] = {node: tensor for node, (tensor, _) in weights.items()}
    for part in graphs:  # those outside first
        _fold(part, known)
        _pass_on(part, known)
    every = (n for part in graphs for n in part.graph.nodes)
    nodes = [n for n in every if not _is_input(n, weights, module)]
    reached = [n for n in nodes if n.op == "call_function" and _is_double(n)]
    if reached:
        _warn(reached[0])
    for node in nodes:
        _narrow(node)
    return {node: (_rounded(tensor, node), name) for node, (tensor, name) in weights.items()}


def _is_input(node: Node, weights: Weights, module: GraphModule) -> bool:
    own = node.op == "placeholder" and node.graph is module.graph
    return own and node not in weights


def _tensors(node: Node) -> Iterator[torch.Tensor]:
    value = node.meta.get("val")
    for item in value if isinstance(value, tuple | list) else (value,):
        if isinstance(item, torch.Tensor):
            yield item


def _is_double(node: Node) -> bool:
    return any(x.dtype in _NARROW for x in _tensors(node))


def _refuse_outputs(graph: Graph) -> None:
    if any(map(_is_double, graph.output_node().all_input_nodes)):
        first = next(n for n in graph.nodes if n.op == "call_function" and _is_double(n))
        raise ConversionError(
            explain(
                "an output of the model is float64, which TensorRT does not have",
                at=_place(first),
                fix="use float32, as model.float() does, or return y.float()",
            )
        )


def _pass_on(part: GraphModule, known: dict[Node, Any]) -> None:
    """Tell the graphs that a graph calls which of their arguments are known."""
    for node in part.graph.nodes:
        for i, value in enumerate(node.args):
            body = getattr(part, str(value.target), None) if isinstance(value, Node) else None
            if isinstance(body, GraphModule):
                inner = [n for n in body.graph.nodes if n.op == "placeholder"]
                pairs = zip(inner, node.args[i + 1 :], strict=False)
                known.update((n, known[a]) for n, a in pairs if a in known)


def _fold(part: GraphModule, known: dict[Node, Any]) -> None:
    """Compute what is of float64 and reached by no input, and put constants in its place."""
    folded: list[Node] = []
    for node in part.graph.nodes:
        if node.op == "get_attr" and isinstance(tensor := _attribute(part, node), torch.Tensor):
            known[node] = tensor
        elif _can_fold(node, known):
            known[node] = _computed(node, known)
            folded.append(node)
    for node in reversed(folded):
        if any(user not in known for user in node.users):
            _replace(part, node, known)
        if not node.users:
            part.graph.erase_node(node)


def _attribute(part: GraphModule, node: Node) -> Any:
    return operator.attrgetter(str(node.target))(part)


def _can_fold(node: Node, known: dict[Node, Any]) -> bool:
    target = node.target
    computes = isinstance(target, torch._ops.OpOverload) or target is operator.getitem
    if node.op != "call_function" or not computes:
        return False
    drawn = torch.Tag.nondeterministic_seeded in getattr(target, "tags", ())
    doubles = _is_double(node) or any(map(_is_double, node.all_input_nodes))
    return doubles and not drawn and all(n in known for n in node.all_input_nodes)


def _computed(node: Node, known: dict[Node, Any]) -> Any:
    function: Callable[..., Any] = node.target  # type: ignore[assignment]
    args, kwargs = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
    with torch.no_grad():
        return function(*args, **kwargs)


def _replace(part: GraphModule, node: Node, known: dict[Node, Any]) -> None:
    """Let those that are not folded read a constant instead."""
    value = known[node]
    if not isinstance(value, torch.Tensor):
        return
    name = f"_folded_{node.name}"
    part.register_buffer(name, _rounded(value, node).contiguous(), persistent=False)
    with part.graph.inserting_before(node):
        constant = part.graph.get_attr(name)
    constant.meta = {**node.meta}
    known[constant] = value
    node.replace_all_uses_with(constant, delete_user_cb=lambda user: user not in known)


def _rounded(value: torch.Tensor, node: Node) -> torch.Tensor:
    """In the dtype half as wide, where it is of float64. Errors: ConversionError on overflow."""
    if value.dtype not in _NARROW:
        return value
    narrow = value.to(_NARROW[value.dtype])
    if bool((narrow.isinf() & ~value.isinf()).any()):
        raise ConversionError(
            explain(
                "a float64 constant is too large for float32, which TensorRT computes in: "
                f"{float(value.abs().max()):.3g}",
                at=_place(node),
                fix="use torch.finfo(torch.float32), or float('inf')",
            )
        )
    return narrow


def _narrow(node: Node) -> None:
    """Have a node say float32 where it says float64; ``meta["double"]`` is what it was."""
    node.args = _mapped(node.args)
    node.kwargs = _mapped(node.kwargs)
    if _is_double(node):
        value = node.meta["val"]
        node.meta["double"] = next(x.dtype for x in _tensors(node) if x.dtype in _NARROW)
        several = isinstance(value, tuple | list)
        narrow = [_narrowed(x) for x in (value if several else (value,))]
        node.meta["val"] = type(value)(narrow) if several else narrow[0]


def _narrowed(value: Any) -> Any:
    if isinstance(value, torch.Tensor) and value.dtype in _NARROW:
        return value.to(_NARROW[value.dtype])
    return value


def _mapped(value: Any) -> Any:
    if isinstance(value, torch.dtype):
        return _NARROW.get(value, value)
    if isinstance(value, list | tuple):
        return type(value)(map(_mapped, value))
    if isinstance(value, dict):
        return {k: _mapped(v) for k, v in value.items()}
    return value


def _warn(reached: Node) -> None:
    warnings.warn(
        explain(
            "the model computes in float64, which TensorRT does not have; float32 is used instead",
            at=_place(reached),
            fix="convert to float32 in the model, where that is enough",
        ),
        PrecisionWarning,
        stacklevel=2,
    )


def _place(node: Node) -> str:
    return str(Source(operator=str(node.target), stack=node.meta.get("stack_trace") or ""))
