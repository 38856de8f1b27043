"""Checks that PyTorch puts behind a solver, ``with_effects(token, _linalg_check_errors, info)``.

It raises where a matrix is singular; what an engine gives is infinite or NaN there. The token that
keeps such checks in order is no value.
"""

from __future__ import annotations

import operator

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import Graph, Node
from torch.fx.experimental.symbolic_shapes import cast_symbool_to_symint_guardless

__all__ = ["asserts_bools", "drop_checks", "without_tokens"]

_CHECK = torch.ops.aten._linalg_check_errors.default


def asserts_bools(graph: Graph) -> bool:
    """Have conditions asserted as they are; whether any was as a number that is 1.

    PyTorch 2.11 writes these so, and fails where it traces them anew.
    """
    numbers = [n for n in graph.nodes if n.target is cast_symbool_to_symint_guardless]
    equal = [n for made in numbers for n in made.users if n.target is operator.eq and 1 in n.args]
    for node in equal:
        (made,) = node.all_input_nodes
        node.replace_all_uses_with(made.args[0])
        graph.erase_node(node)
    return bool(equal)


def drop_checks(graph: Graph) -> None:
    """Take the checks away, and let what is in order behind one follow the one before it."""
    for node in list(graph.nodes):
        if str(node.target) == "with_effects" and node.args[1] is _CHECK:
            for user in list(node.users):  # (token, None)[0]
                user.replace_all_uses_with(node.args[0])
                graph.erase_node(user)
            graph.erase_node(node)


def without_tokens(program: ExportedProgram) -> list[Node]:
    """The nodes that a graph gives, less tokens and what is no node."""
    (values,) = program.graph.output_node().args
    token = getattr(OutputKind, "TOKEN", None)
    specs = program.graph_signature.output_specs
    kept = (v for v, spec in zip(values, specs, strict=True) if spec.kind is not token)
    return [v for v in kept if isinstance(v, Node)]
