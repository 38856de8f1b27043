"""What the walk and the report ask of a node of a captured graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

from trtdsl.expression import expression
from trtdsl.registry import Converter, find
from trtdsl.source import Source
from trtdsl.types import DType

__all__ = [
    "REGIONS",
    "call_of",
    "converter_of",
    "is_number",
    "is_symbolic",
    "several",
    "shown",
    "source_of",
]

REGIONS = {"wrap_with_set_grad_enabled", "wrap_with_autocast"}
"""Bodies of ``torch.no_grad()`` and of autocast inside the model."""


def several(value: Any) -> Sequence[Any]:
    """A list or tuple as it is; any other value as the only one of a tuple."""
    return value if isinstance(value, list | tuple) else (value,)


def is_number(node: Node) -> bool:
    """Arithmetic on sizes that turned out to be plain numbers."""
    return not isinstance(node.target, torch._ops.OperatorBase)


def converter_of(node: Node) -> Converter | None:
    """The converter of a node's operator, for its kind of numbers: real or complex."""
    return find(node.target, complex=any(map(_is_complex, (node, *node.all_input_nodes))))


def _is_complex(node: Node) -> bool:
    """Whether a node's value is a complex tensor, or a list of them."""
    values = several(node.meta.get("val"))
    return any(isinstance(v, torch.Tensor) and v.is_complex() for v in values)


def is_symbolic(node: Node) -> bool:
    """Whether a node's value is a size, or a number that a tensor holds."""
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)


def source_of(node: Node, prefix: str) -> Source:
    """Where a node comes from; ``prefix`` leads the paths of all modules and is left out."""
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    path = [p for p, _ in stack.values()][-1] if stack else ""
    module = path.removeprefix(prefix).lstrip(".") if prefix else path
    return Source(
        module=module, operator=str(node.target), stack=node.meta.get("stack_trace") or ""
    )


def call_of(node: Node, names: Mapping[Any, str]) -> str:
    """``aten.foo.default(f32[1, 8], 2)``."""
    parts = [shown(a, names) for a in node.args]
    parts += [f"{k}={shown(v, names)}" for k, v in node.kwargs.items()]
    return f"{node.target}({', '.join(parts)})"


def shown(value: Any, names: Mapping[Any, str]) -> str:
    """``f32[1, 8]`` for a tensor of PyTorch's; other values as they are."""
    if isinstance(value, Node):
        return shown(value.meta["val"], names) if "val" in value.meta else str(value.target)
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown(v, names) for v in value)}]"
    if isinstance(value, torch.Tensor):
        sizes = ", ".join(str(expression(d, names)) for d in value.shape)
        kind = str(value.dtype).removeprefix("torch.")
        short = DType(kind).short if kind in {d.value for d in DType} else kind
        return f"{short}[{sizes}]"
    return str(expression(value, names))
