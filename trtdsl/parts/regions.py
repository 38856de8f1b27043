"""Bodies of ``torch.no_grad()`` and of disabled autocast, written into the graph around them."""

from __future__ import annotations

import operator

from torch.fx import Graph, GraphModule, Node

from trtdsl.nodes import REGIONS

__all__ = ["inline_regions"]


def inline_regions(module: GraphModule) -> None:
    """Rewrite a graph in place, so that it can be parted in the middle of such a body.

    A region that turns autocast on stays whole: its operators mean something else outside of it.
    """
    for node in list(module.graph.nodes):
        if (found := _body(node)) is not None:
            body = operator.attrgetter(str(found.target))(module)
            inline_regions(body)
            _inline(module.graph, node, found, body)
    module.recompile()


def _body(node: Node) -> Node | None:
    """The node of the body that a region runs, where it means the same outside of the region."""
    if str(node.target) not in REGIONS:
        return None
    autocast = str(node.target) == "wrap_with_autocast"
    if autocast and node.args[2]:
        return None
    body = node.args[4 if autocast else 1]
    assert isinstance(body, Node)
    return body


def _inline(graph: Graph, node: Node, at: Node, body: GraphModule) -> None:
    arguments = node.args[node.args.index(at) + 1 :]
    placeholders = [n for n in body.graph.nodes if n.op == "placeholder"]
    copies = dict(zip(placeholders, arguments, strict=True))
    with graph.inserting_before(node):
        for inner in body.graph.nodes:
            if inner.op in ("placeholder", "output"):
                continue
            copy = graph.node_copy(inner, copies.__getitem__)
            if copy.op == "get_attr":
                copy.target = f"{at.target}.{inner.target}"
            for key in ("stack_trace", "nn_module_stack"):
                copy.meta.setdefault(key, node.meta.get(key))
            copies[inner] = copy
    (results,) = body.graph.output_node().args
    assert isinstance(results, tuple | list)
    for user in list(node.users):
        result = results[user.args[1]]  # type: ignore[index]
        user.replace_all_uses_with(copies[result])
        graph.erase_node(user)
    graph.erase_node(node)
