"""What has no converter and only weights reach, computed once: it is a constant from then on.

Such are the factors of a matrix that is a parameter, and weights that are kept orthogonal.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch.fx import GraphModule, Node

from trtdsl.capture import Captured
from trtdsl.nodes import is_symbolic
from trtdsl.parts.flow import is_convertible, is_random, symbols_in

__all__ = ["precompute"]


def precompute(captured: Captured) -> Captured:
    """Rewrite a graph in place, so that no engine waits for PyTorch to prepare a weight.

    What PyTorch cannot compute either stays.
    """
    module = captured.module
    known: dict[Node, Any] = {node: tensor for node, (tensor, _) in captured.weights.items()}
    fixed: set[Node] = set(known)
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(module)
            fixed.add(node)
        elif _is_fixed(node, fixed):
            fixed.add(node)
    settled: dict[str, torch.Tensor] = {}
    made: dict[Node, Node] = {}
    for node in [n for n in module.graph.nodes if n in fixed]:
        if _is_operator(node) and not is_convertible(node):
            try:
                value = _value(node, known)
            except Exception:  # the report has the operator
                continue
            settled.update((captured.weights[n][1], captured.weights[n][0]) for n in _read(node))
            made.update(_replace(module, node, value, known))
    return replace(
        captured,
        outputs=tuple(made.get(node, node) for node in captured.outputs),
        settled={**captured.settled, **settled},
    )


def _read(node: Node) -> Iterator[Node]:
    """The placeholders of the weights that a node is computed from."""
    left, seen = [node], set[Node]()
    while left:
        found = left.pop()
        if found.op == "placeholder":
            yield found
        left += [n for n in found.all_input_nodes if n not in seen]
        seen.update(found.all_input_nodes)


def _is_fixed(node: Node, fixed: set[Node]) -> bool:
    """Whether neither an input, nor a size, nor chance has a part in a value."""
    computes = _is_operator(node) or node.target is operator.getitem
    if not computes or is_symbolic(node) or is_random(node):
        return False
    return not symbols_in(node.meta.get("val")) and all(n in fixed for n in node.all_input_nodes)


def _is_operator(node: Node) -> bool:
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def _value(node: Node, known: dict[Node, Any]) -> Any:
    if node not in known:
        function: Callable[..., Any] = node.target  # type: ignore[assignment]
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda n: _value(n, known))
        with torch.no_grad():
            known[node] = function(*args, **kwargs)
    return known[node]


def _replace(
    module: GraphModule, node: Node, value: Any, known: dict[Node, Any]
) -> dict[Node, Node]:
    """Put constants in place of a node, or of what is taken of its values; which for which."""
    replaced: dict[Node, Node] = {}
    if isinstance(value, torch.Tensor):
        name = f"_computed_{node.name}"
        constant = value.detach().to(node.meta["val"].dtype).contiguous()
        module.register_buffer(name, constant, persistent=False)
        with module.graph.inserting_before(node):
            made = module.graph.get_attr(name)
        made.meta = dict(node.meta)
        known[made] = constant
        node.replace_all_uses_with(made)
        replaced[node] = made
    else:
        for user in list(node.users):
            if user.target is operator.getitem:
                replaced |= _replace(module, user, value[user.args[1]], known)
    if not node.users:
        module.graph.erase_node(node)
    return replaced
