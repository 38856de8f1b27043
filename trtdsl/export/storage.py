"""Operators that read a tensor's memory by strides, moved to the tensor that fills that memory.

``x.t().as_strided(...)`` and ``x[1:].as_strided(...)`` see x's memory, not the view's elements. In
a captured graph they are made to read x itself, with its axes in the order of the memory.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.fx import Graph, Node

from trtdsl.errors import ConversionError, explain
from trtdsl.source import Source

__all__ = ["read_storage"]

aten = torch.ops.aten

_STRIDED = {aten.as_strided.default, aten.as_strided_copy.default}


def read_storage(graph: Graph) -> None:
    """Let every operator of strides read a tensor that lies in memory in order and fills it.

    Errors: ConversionError where the graph has no such tensor.
    """
    for node in [n for n in graph.nodes if n.target in _STRIDED]:
        view = node.args[0].meta["val"]
        owner = next((n for n in _views(node.args[0]) if _order(n.meta["val"]) is not None), None)
        if owner is None:
            raise ConversionError(
                explain(
                    f"as_strided reads memory that no tensor of the graph fills: {view.shape} "
                    f"with strides {view.stride()}",
                    at=Source(stack=node.meta.get("stack_trace") or "").line,
                    fix="call contiguous() before as_strided, or use unfold, narrow or flip",
                )
            )
        given = node.args[3] if len(node.args) > 3 else node.kwargs.get("storage_offset")
        offset = view.storage_offset() if given is None else given
        node.args = (_laid_out(graph, node, owner), *node.args[1:3], offset)
        node.kwargs = {}


def _views(node: Node) -> Iterator[Node]:
    """A node, and those that it is a view of."""
    storage = node.meta["val"].untyped_storage()._cdata
    current: object = node
    while isinstance(current, Node) and isinstance(current.meta.get("val"), torch.Tensor):
        if current.meta["val"].untyped_storage()._cdata != storage:
            return
        yield current
        current = current.args[0] if current.args else None


def _order(x: torch.Tensor) -> tuple[int, ...] | None:
    """The axes as they lie in memory, the outermost first; None for a tensor that leaves gaps."""
    if x.storage_offset() != 0 or x.numel() * x.element_size() != x.untyped_storage().nbytes():
        return None
    if x.is_contiguous():
        return tuple(range(x.dim()))
    strides = x.stride()
    order = tuple(sorted(range(x.dim()), key=lambda axis: (-strides[axis], -x.shape[axis])))
    return order if x.permute(order).is_contiguous() else None


def _laid_out(graph: Graph, node: Node, owner: Node) -> Node:
    value = owner.meta["val"]
    order = _order(value)
    assert order is not None
    if order == tuple(range(value.dim())):
        return owner
    with graph.inserting_before(node):
        permuted = graph.call_function(aten.permute.default, (owner, list(order)))
    permuted.meta = {**node.meta, "val": value.permute(order)}
    return permuted
