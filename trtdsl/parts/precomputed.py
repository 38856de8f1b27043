"""What has no converter and only weights reach, computed once: it is a constant from then on."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.fx import GraphModule, Node

from trtdsl.capture import Captured
from trtdsl.nodes import is_symbolic
from trtdsl.parts.flow import is_convertible, is_random, symbols_in

__all__ = ["precompute"]


def precompute(captured: Captured) -> None:
    """Rewrite a graph in place, so that no engine waits for PyTorch to prepare a weight."""
    module = captured.module
    known: dict[Node, Any] = {node: tensor for node, (tensor, _) in captured.weights.items()}
    fixed: set[Node] = set(known)
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = operator.attrgetter(str(node.target))(module)
            fixed.add(node)
        elif _is_fixed(node, fixed):
            fixed.add(node)
    for node in [n for n in module.graph.nodes if n in fixed]:
        if _is_operator(node) and not is_convertible(node):
            _replace(module, node, _value(node, known), known)


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


def _replace(module: GraphModule, node: Node, value: Any, known: dict[Node, Any]) -> None:
    if isinstance(value, torch.Tensor):
        name = f"_computed_{node.name}"
        constant = value.detach().to(node.meta["val"].dtype).contiguous()
        module.register_buffer(name, constant, persistent=False)
        with module.graph.inserting_before(node):
            made = module.graph.get_attr(name)
        made.meta = dict(node.meta)
        known[made] = constant
        node.replace_all_uses_with(made)
    else:
        for user in list(node.users):
            if user.target is operator.getitem:
                _replace(module, user, value[user.args[1]], known)
    if not node.users:
        module.graph.erase_node(node)
