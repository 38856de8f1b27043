"""``expression``: PyTorch's numbers that are made of sizes, over the user's names for the sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from trtdsl.types import Dim, as_dim

__all__ = ["expression"]


def expression(value: Any, names: Mapping[Any, Any]) -> Dim:
    """A SymInt, SymFloat or SymBool as an expression; any other value as it is.

    ``names`` are PyTorch's symbols and what they are called here, or the sizes that they stand for.
    """
    if not isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
        return value
    import sympy

    expr = value.node.expr
    expr = expr.replace(lambda e: _plain(e) is not None, _rewritten)
    free = {s: names.get(s, s.name) for s in expr.free_symbols}
    known = {
        s: sympy.Symbol(size, integer=True, positive=True) if isinstance(size, str) else size
        for s, size in free.items()
    }
    expr = expr.xreplace(known)
    if isinstance(value, torch.SymFloat):  # 1.0 * n is told from n
        return float(expr) if expr.is_number else sympy.Float(1) * expr
    return as_dim(expr)


def _rewritten(e: Any) -> Any:
    function = _plain(e)
    return function(*e.args) if function else e


def _plain(e: Any) -> Callable[..., Any] | None:
    """sympy's function that is one of PyTorch's; sizes are positive, so truncation is floor."""
    import sympy

    name = type(e).__name__
    if name.startswith("OpaqueUnaryFn_"):
        name = name.removeprefix("OpaqueUnaryFn_")
        return (lambda x: sympy.log(x, 2)) if name == "log2" else getattr(sympy, name)
    floors = ("FloorToInt", "TruncToInt", "TruncToFloat")
    functions: dict[str, Callable[..., Any]] = {
        **dict.fromkeys(floors, sympy.floor),
        **dict.fromkeys(("CleanDiv", "IntTrueDiv", "FloatTrueDiv"), lambda x, y: x / y),
        **dict.fromkeys(("Mod", "PythonMod"), sympy.Mod),
        **dict.fromkeys(("FloatPow", "PowByNatural"), sympy.Pow),
        **dict.fromkeys(("ToFloat", "Identity"), lambda x: x),
        "FloorDiv": lambda x, y: sympy.floor(x / y),
        "CeilToInt": sympy.ceiling,
        "Max": sympy.Max,
        "Min": sympy.Min,
        "LShift": lambda x, y: x * 2**y,
        "RShift": lambda x, y: sympy.floor(x / 2**y),
    }
    own = type(e).__module__.startswith("torch.")
    return functions.get(name) if own else None
