"""In-place operators of an exported graph, rewritten to the operators that give a new tensor.

``run_decompositions`` does that for every graph, by tracing it anew, which takes as long as the
export did. Most graphs need much less: ``relu_`` on what a convolution has just made. This module
rewrites those where no view can see the change, and says so where it cannot.
"""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch.fx import Graph, Node

__all__ = ["drop_identities", "has_inplace", "hides_views", "rewrite_inplace", "select_unbound"]

aten = torch.ops.aten

# Operators whose result never shares memory with an argument. Others, even those whose schema
# names no alias (dropout in eval mode returns its input), may hand out a view.
_FRESH = {
    "_upsample_bicubic2d_aa", "_upsample_bilinear2d_aa", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "abs", "acos",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "adaptive_max_pool1d",
    "adaptive_max_pool2d", "adaptive_max_pool3d", "add", "addbmm", "addcdiv", "addcmul",
    "addmm", "all", "amax", "amin", "any", "arange", "argmax", "argmin", "argsort", "asin",
    "atan", "atan2", "avg_pool1d", "avg_pool2d", "avg_pool3d", "baddbmm", "batch_norm",
    "bilinear", "bincount", "bitwise_and", "bitwise_not", "bitwise_or", "bitwise_xor", "bmm",
    "cat", "ceil", "clamp", "clamp_max", "clamp_min", "clone",
    "constant_pad_nd", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "convolution", "cos", "cosine_similarity", "cumprod", "cumsum", "div",
    "elu", "embedding", "empty", "empty_like", "eq", "erf", "exp", "exp2", "expm1", "eye",
    "flip", "floor", "floor_divide", "fmod", "full", "full_like", "gather", "ge", "gelu", "glu",
    "grid_sampler", "group_norm", "gt", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "index", "index_put", "index_select", "instance_norm", "isclose", "isfinite", "isinf",
    "isnan", "layer_norm", "le", "leaky_relu", "lerp", "lift_fresh_copy", "linalg_norm",
    "linalg_vector_norm", "linear", "linspace", "log", "log10", "log1p", "log2", "log_sigmoid",
    "log_softmax", "logical_and", "logical_not", "logical_or", "logical_xor", "logit",
    "logsumexp", "lt", "masked_fill", "masked_select", "matmul", "max_pool1d", "max_pool2d",
    "max_pool3d", "maximum", "mean", "minimum", "mish", "mm", "mul", "mv", "ne", "neg",
    "new_empty", "new_full", "new_ones", "new_zeros", "nonzero", "norm", "ones", "ones_like",
    "outer", "pow", "prelu", "prod", "reciprocal",
    "reflection_pad1d", "reflection_pad2d", "relu", "relu6", "remainder", "repeat",
    "replication_pad2d", "rms_norm", "roll", "round", "rsqrt", "rsub",
    "scaled_dot_product_attention", "scatter", "scatter_add", "select_scatter", "selu",
    "sigmoid", "sign", "silu", "sin", "slice_scatter", "softmax", "softplus", "sqrt", "square",
    "stack", "std", "std_mean", "sub", "sum", "tan", "tanh", "tril", "triu", "trunc",
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_linear1d", "upsample_nearest1d",
    "upsample_nearest2d", "upsample_nearest3d", "upsample_trilinear3d", "var", "var_mean",
    "where", "zeros", "zeros_like",
}  # fmt: skip


_OF_BOOL = {
    *("eq", "ge", "greater", "greater_equal", "gt", "le", "less", "less_equal", "lt", "ne"),
    *("not_equal", "logical_and", "logical_not", "logical_or", "logical_xor"),
}
"""Operators that give bool whatever they read, but in place keep the dtype."""

_DROPOUTS = {
    aten.dropout.default, aten.feature_dropout.default, aten.alpha_dropout.default,
    aten.feature_alpha_dropout.default, aten.dropout_.default, aten.feature_dropout_.default,
    aten.alpha_dropout_.default, aten.feature_alpha_dropout_.default,
}  # fmt: skip


def drop_identities(graph: Graph) -> bool:
    """Take inactive dropouts and ``detach_`` out of a graph; whether there was one.

    Each returns its very input, which PyTorch's own functionalization does not know of a dropout.
    """
    found = [
        n
        for n in graph.nodes
        if n.target is aten.detach_.default or (n.target in _DROPOUTS and n.args[2] is False)
    ]
    for node in graph.nodes if found else ():
        for read in node.all_input_nodes:  # PyTorch leaves dead nodes that these do not know of
            read.users.setdefault(node)
    for node in found:
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)
    return bool(found)


def select_unbound(graph: Graph) -> None:
    """Write ``unbind`` as the selections that it is.

    Where one of them is written to, PyTorch makes numbers of symbolic sizes as it traces anew.
    """
    for node in [n for n in graph.nodes if n.target is aten.unbind.int]:
        axis = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", 0)
        for part in [user for user in node.users if user.target is operator.getitem]:
            with graph.inserting_before(part):
                made = graph.call_function(aten.select.int, (node.args[0], axis, part.args[1]))
            made.meta = dict(part.meta)
            part.replace_all_uses_with(made)
            graph.erase_node(part)
        if not node.users:
            graph.erase_node(node)


def hides_views(operator: torch._ops.OpOverload) -> bool:
    """Whether an operator may give a view of its argument although its schema names none."""
    schema = operator._schema
    if schema.name.removeprefix("aten::") in _FRESH:
        return False
    name = ".".join(filter(None, (schema.name, schema.overload_name)))
    composite: bool = torch._C._dispatch_has_kernel_for_dispatch_key(
        name, "CompositeImplicitAutograd"
    )
    return composite and not any(result.alias_info for result in schema.returns)


def has_inplace(graph: Graph) -> bool:
    """Whether an operator of the graph writes to one of its arguments."""
    return any(_mutates(node) for node in graph.nodes)


def rewrite_inplace(graph: Graph) -> bool:
    """Rewrite the in-place operators; False, and the graph untouched, where a view forbids."""
    order = {node: i for i, node in enumerate(graph.nodes)}
    nodes = [node for node in graph.nodes if _mutates(node)]
    replacements = [(node, _functional(node)) for node in nodes]
    # What an in-place operator returns is the tensor itself, under another name.
    names: dict[Node, list[Node]] = {}
    for node in nodes:
        names.setdefault(_made(node), [_made(node)]).append(node)
    for node, new in replacements:
        users = [user for name in names[_made(node)] for user in name.users]
        earlier = [user for user in users if order[user] < order[node]]
        if not (new and _is_private(node) and all(map(_gives_fresh, earlier))):
            return False
    for node, functional in replacements:
        node.target = functional
        written = node.args[0]
        # What reads the written tensor from here on reads the new one.
        written.replace_all_uses_with(
            node, delete_user_cb=lambda user, at=node: order[user] > order[at]
        )
    return True


def _mutates(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and bool(schema and schema.is_mutable)


def _functional(node: Node) -> Any:
    """The operator that leaves the same arguments as they were: ``relu`` for ``relu_``."""
    target: Any = node.target
    namespace, _, name = target._schema.name.partition("::")
    overload = target._overloadname
    if namespace != "aten" or not name.endswith("_") or name.startswith("_"):
        return None
    functional = getattr(getattr(aten, name[:-1], None), overload, None)
    arguments = [a.name for a in target._schema.arguments]
    if functional is None or [a.name for a in functional._schema.arguments] != arguments:
        return None
    return functional


def _is_private(node: Node) -> bool:
    """Whether what a node writes to was made in the graph, and by no view of something else."""
    written = node.args[0]
    if not isinstance(written, Node) or not _gives_fresh(written):
        return False
    # An in-place operator keeps the dtype; its functional twin may promote.
    return not _promotes(node, written.meta["val"])


def _made(node: Node) -> Node:
    """The node that made the tensor which in-place operators have handed on."""
    while _mutates(node) and isinstance(node.args[0], Node):
        node = node.args[0]
    return node


def _promotes(node: Node, before: torch.Tensor) -> bool:
    if node.target._schema.name.removeprefix("aten::").removesuffix("_") in _OF_BOOL:  # type: ignore[union-attr]
        return before.dtype is not torch.bool
    operands = [a.meta["val"] for a in node.args[1:] if isinstance(a, Node)]
    return any(isinstance(o, torch.Tensor) and o.dtype != before.dtype for o in operands)


def _gives_fresh(node: Node) -> bool:
    if node.op != "call_function" or not hasattr(node.target, "_schema"):
        return False
    name = node.target._schema.name.removeprefix("aten::")
    return name in _FRESH or (_mutates(node) and name.removesuffix("_") in _FRESH)
