"""Random numbers in a graph of which only the shape is read: nothing has to be drawn for them.

All others are refused, as an engine has no generator of PyTorch's.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Graph, Node

__all__ = ["draw_nothing"]

aten = torch.ops.aten

_SHAPE_ONLY = {
    aten.empty_like.default, aten.full_like.default, aten.new_empty.default,
    aten.new_full.default, aten.new_ones.default, aten.new_zeros.default, aten.ones_like.default,
    aten.zeros_like.default,
}  # fmt: skip


def draw_nothing(graph: Graph) -> None:
    """Let operators that draw numbers which are never read leave them undefined instead."""
    for node in graph.nodes:
        size = _size(node)
        if size is None:
            continue
        target = aten.empty.memory_format if isinstance(size, list) else aten.empty_like.default
        node.target, node.args = target, (size,)
        node.kwargs = {"dtype": node.meta["val"].dtype}


def _size(node: Node) -> Any:
    """The size, or the tensor like which an unread random tensor is; None for any other node."""
    drawn = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
    unread = all(user.target in _SHAPE_ONLY for user in node.users)
    if not drawn or not unread or not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    lists = [list(a) for a in node.args if isinstance(a, list | tuple)]
    alike = isinstance(node.args[0], Node) and node.args[0].meta["val"].shape == (
        node.meta["val"].shape
    )
    if lists:
        return lists[-1]
    return node.args[0] if alike else None
