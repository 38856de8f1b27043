"""Dynamic shapes: ``torch.export.Dim``, names of inputs and outputs, and ranges of sizes."""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch

from trtdsl.errors import ConversionError, explain
from trtdsl.tree import Placeholder, Tree, leaf_paths
from trtdsl.types import DimRange

__all__ = [
    "Bounds",
    "axes",
    "bounds",
    "dims",
    "input_name",
    "output_names",
    "ranges",
    "resized",
    "specs",
    "walk",
    "widened",
]


Bounds: TypeAlias = tuple[int | None, int | None]
"""The least and the greatest value of a number, None where nothing is known."""


def walk(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Placeholder]]:
    """Every placeholder in a nested value, and the keys and indices that lead to it."""
    if isinstance(value, Placeholder):
        yield path, value
    for key, child in _children(value):
        yield from walk(child, (*path, key))


def _children(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(value.items())
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, Placeholder):
        return [(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)]
    return []


def input_name(path: tuple[Any, ...], parameters: Sequence[str]) -> str:
    """What an input is called: ``x``, ``batch.mask``; by position where the model has no names."""
    kind, first, *rest = path
    if kind == 0:
        first = parameters[first] if first < len(parameters) else f"input_{first}"
    return ".".join(map(str, (first, *rest)))


def output_names(tree: Tree, inputs: Collection[str]) -> list[str]:
    """What the outputs are called: ``boxes``, ``output_1.0``; ``x_out`` where an input is ``x``."""
    names = [path or "output" for path in leaf_paths(tree)]
    names = [f"output_{name}" if name[0].isdigit() else name for name in names]
    return [f"{name}_out" if name in inputs else name for name in names]


def specs(dynamic_shapes: Any, tree: Tree, parameters: Sequence[str]) -> list[dict[int, Any]]:
    """The ``{axis: Dim}`` of every input, from a specification nested as the inputs are.

    Errors: ConversionError when the specification names an input that does not exist.
    """
    args, kwargs = tree.unflatten([Placeholder(i) for i in range(tree.num_leaves)])
    found: list[dict[int, Any]] = [{} for _ in range(tree.num_leaves)]
    if not dynamic_shapes:
        return found
    inputs = {**dict(zip(parameters, args, strict=False)), **kwargs}
    if not isinstance(dynamic_shapes, Mapping):
        dynamic_shapes = _by_name(dynamic_shapes, list(inputs))
    unknown = [name for name in dynamic_shapes if name not in inputs]
    if unknown:
        raise ConversionError(
            explain(
                f"dynamic_shapes names {', '.join(map(repr, unknown))}; "
                f"the inputs are {', '.join(inputs)}",
                fix="use the names of forward's parameters",
            )
        )
    for name, spec in dynamic_shapes.items():
        _place(inputs[name], spec, name, found)
    return found


def _by_name(dynamic_shapes: Any, names: Sequence[str]) -> dict[str, Any]:
    if not isinstance(dynamic_shapes, list | tuple) or len(dynamic_shapes) > len(names):
        raise ConversionError(
            explain(
                f"dynamic_shapes is {dynamic_shapes!r}; the inputs are {', '.join(names)}",
                fix='give a dict by input, {"x": {0: torch.export.Dim("batch", min=1, max=8)}}',
            )
        )
    return dict(zip(names, dynamic_shapes, strict=False))


def _place(value: Any, spec: Any, name: str, found: list[dict[int, Any]]) -> None:
    if spec is None:
        return
    if not isinstance(spec, Mapping | list | tuple):
        raise ConversionError(
            explain(
                f"dynamic_shapes of input {name} is {spec!r}",
                fix='give sizes by axis, {0: torch.export.Dim("batch", min=1, max=8)}',
            )
        )
    if isinstance(value, Placeholder):
        items = spec.items() if isinstance(spec, Mapping) else enumerate(spec)
        found[value.index] = {int(axis): dim for axis, dim in items if dim is not None}
        return
    entries = dict(spec.items() if isinstance(spec, Mapping) else enumerate(spec))
    children = dict(_children(value))
    for key, entry in entries.items():
        if key not in children:
            raise ConversionError(
                explain(
                    f"dynamic_shapes of input {name} has no place {key!r} in it; it has "
                    f"{', '.join(map(repr, children)) or 'none'}",
                    fix="nest dynamic_shapes as the example inputs are",
                )
            )
        _place(children[key], entry, f"{name}.{key}", found)


def axes(
    specs: Sequence[Mapping[int, Any]], leaves: Sequence[torch.Tensor], names: Sequence[str]
) -> list[dict[int, Any]]:
    """The specifications with axes counted from the front.

    Errors: ConversionError for an axis that the input does not have, and for what is no Dim.
    """
    rows = zip(specs, leaves, names, strict=True)
    return [
        {_axis(axis, leaf, name): _dim(dim, axis, name) for axis, dim in spec.items()}
        for spec, leaf, name in rows
    ]


def _axis(axis: int, leaf: torch.Tensor, name: str) -> int:
    if not -leaf.dim() <= axis < leaf.dim():
        raise ConversionError(
            explain(
                f"dynamic_shapes names axis {axis} of input {name}, which has the shape "
                f"{tuple(leaf.shape)}",
                fix=f"name an axis below {leaf.dim()}",
            )
        )
    return axis % leaf.dim()


def _dim(dim: Any, axis: int, name: str) -> Any:
    if not isinstance(dim, int | torch.export.Dim | type(torch.export.Dim.AUTO)):
        raise ConversionError(
            explain(
                f"dynamic_shapes gives axis {axis} of input {name} as {dim!r}, which is no "
                "torch.export.Dim",
                fix=f'torch.export.Dim("{dim if isinstance(dim, str) else "batch"}", min=1, '
                "max=...)",
            )
        )
    word = getattr(_root(dim), "__name__", "")
    if keyword.iskeyword(word):
        raise ConversionError(
            explain(
                f"the Dim of axis {axis} of input {name} is called {word!r}, a word of Python's, "
                "which no expression of sizes can tell from a name",
                fix=f'torch.export.Dim("{word}_", ...)',
            )
        )
    return dim


def dims(specs: Sequence[Mapping[int, Any]]) -> dict[tuple[int, int], Any]:
    """The Dims that the user gave, by (input, axis)."""
    return {
        (i, axis): dim
        for i, spec in enumerate(specs)
        for axis, dim in spec.items()
        if isinstance(getattr(dim, "__name__", None), str)
    }


def _root(dim: Any) -> Any:
    """``batch`` of ``2 * batch``; any other Dim itself."""
    return getattr(dim, "root", dim)


def widened(
    leaves: Sequence[torch.Tensor], specs: Sequence[Mapping[int, Any]]
) -> tuple[torch.Tensor, ...]:
    """Examples that are larger than 1 along every dynamic axis, and agree with each other.

    torch.export takes a size of 1 for a constant, but an example of one image is what users have.
    """
    single = {
        id(_root(dim))
        for leaf, spec in zip(leaves, specs, strict=True)
        for axis, dim in spec.items()
        if not isinstance(dim, int) and axis < leaf.dim() and leaf.shape[axis] == _at(dim, 1)
    }
    return tuple(_widened(leaf, spec, single) for leaf, spec in zip(leaves, specs, strict=True))


def _widened(leaf: torch.Tensor, spec: Mapping[int, Any], single: set[int]) -> torch.Tensor:
    for axis, dim in spec.items():
        if id(_root(dim)) in single and axis < leaf.dim() and leaf.shape[axis] == _at(dim, 1):
            pieces = -(-_at(dim, 2) // leaf.shape[axis])
            leaf = torch.cat([leaf] * pieces, dim=axis).narrow(axis, 0, _at(dim, 2))
    return leaf


def resized(
    leaves: Sequence[torch.Tensor], specs: Sequence[Mapping[int, Any]], sizes: Mapping[str, int]
) -> tuple[torch.Tensor, ...]:
    """Examples of other sizes, by name of their Dims: what there is, repeated or cut."""

    def changed(leaf: torch.Tensor, spec: Mapping[int, Any]) -> torch.Tensor:
        for axis, dim in spec.items():
            size = sizes.get(getattr(_root(dim), "__name__", ""))
            if size is not None:
                places = torch.arange(_at(dim, size), device=leaf.device) % leaf.shape[axis]
                leaf = leaf.index_select(axis, places)
        return leaf

    return tuple(map(changed, leaves, specs))


def _at(dim: Any, size: int) -> int:
    """The size that a Dim has where its root has this size."""
    return int(dim.fn(size)) if hasattr(dim, "fn") else size


def ranges(
    program: torch.export.ExportedProgram,
    nodes: Sequence[torch.fx.Node],
    wanted: Mapping[tuple[int, int], Any],
    opt: Mapping[str, int],
    leaves: Sequence[torch.Tensor] | None,
    inputs: Sequence[str],
) -> tuple[dict[str, DimRange], dict[Any, str]]:
    """The range of each symbol, by the user's name for it, and those names by PyTorch's symbol.

    ``wanted`` are the user's Dims. Errors: ConversionError when a size has no upper bound, PyTorch
    has found a narrower one than was asked for, or an ``opt`` is outside of its range.
    """
    names: dict[Any, str] = {}
    examples: dict[Any, int] = {}
    used: set[Any] = set()
    places: dict[Any, str] = {}
    for i, node in enumerate(nodes):
        for axis, size in enumerate(node.meta["val"].shape):
            dim = wanted.get((i, axis))
            symbol = getattr(getattr(size, "node", None), "expr", None)
            if symbol is None or symbol.is_number:
                _require_fixed(dim, size, f"axis {axis} of input {inputs[i]}")
                continue
            used |= symbol.free_symbols
            if dim is not None and _is_of(symbol, dim):
                (root,) = symbol.free_symbols
                names.setdefault(root, _root(dim).__name__)
            hint = leaves[i].shape[axis] if leaves else size.node.hint
            examples = _solved(symbol, int(hint)) | examples
            if symbol.is_Symbol:
                places.setdefault(symbol, f"axis {axis} of input {inputs[i]}")
    for symbol in used:
        names.setdefault(symbol, symbol.name if leaves else _exported_name(symbol, nodes))
    _refuse_unknown(opt, names.values())
    asked = {root.__name__: root for root in map(_root, wanted.values())}
    found: dict[str, DimRange] = {}
    for symbol, bounds in program.range_constraints.items():
        if symbol in used:
            name, example = names[symbol], examples.get(symbol)
            _require_bound(name, bounds, places.get(symbol), is_named=name in asked)
            found[name] = _range(name, bounds, opt, example, asked.get(name))
    return found, names


def _solved(size: Any, value: int) -> dict[Any, int]:
    """What the one symbol of a size is where the size has a value: ``s0`` is 4 where 8*s0 is 32."""
    if len(size.free_symbols) != 1:
        return {}
    (symbol,) = size.free_symbols
    offset, factor = size.subs(symbol, 0), size.coeff(symbol)
    if size - factor * symbol - offset != 0 or (value - offset) % factor:
        return {}
    return {symbol: int((value - offset) // factor)}


def bounds(program: torch.export.ExportedProgram) -> dict[Any, Bounds]:
    """What PyTorch knows of the values of each symbol; what ``torch._check`` promises.

    A part of a tensor that is split is at most as large as the tensor, of which PyTorch makes no
    use.
    """

    def known(bound: Any) -> int | None:
        return int(bound) if getattr(bound, "is_Integer", isinstance(bound, int)) else None

    constraints = program.range_constraints.items()
    found = {symbol: (known(size.lower), known(size.upper)) for symbol, size in constraints}
    for symbol, whole in _parts(program):
        low, high = found.get(symbol, (None, None))
        most = whole if isinstance(whole, int) else known(_greatest(whole))
        if most is not None and (high is None or most < high):
            found[symbol] = (max(low or 0, 0), most)
    return found


def _parts(program: torch.export.ExportedProgram) -> Iterator[tuple[Any, Any]]:
    """The symbols that tensors are split by, each with the size of the axis that is split."""
    for node in program.graph.nodes:
        if str(node.target) in ("aten.split_with_sizes.default", "aten.split.sizes"):
            x, sizes, axis = (*node.args, 0)[:3]
            for size in sizes:
                value = size.meta.get("val") if isinstance(size, torch.fx.Node) else None
                if isinstance(value, torch.SymInt) and value.node.expr.is_Symbol:
                    yield value.node.expr, x.meta["val"].shape[axis]


def _greatest(size: torch.SymInt) -> Any:
    return size.node.shape_env.bound_sympy(size.node.expr).upper


def _exported_name(symbol: Any, nodes: Sequence[torch.fx.Node]) -> str:
    """What the Dim was called that torch.export made a symbol of, where it is known still."""
    sizes = [d for n in nodes for d in n.meta["val"].shape if isinstance(d, torch.SymInt)]
    env = sizes[0].node.shape_env
    known = getattr(env, "source_name_to_debug_name", {})
    sources = {str(v): k for k, v in getattr(env, "source_to_var", {}).items()}
    name = known.get(sources.get(symbol.name), symbol.name)
    return name if name.isidentifier() else str(symbol.name)


def _refuse_unknown(opt: Mapping[str, int], names: Collection[str]) -> None:
    unknown = set(opt) - set(names)
    if unknown:
        raise ConversionError(
            explain(
                f"opt names {', '.join(sorted(unknown))}; "
                f"the dynamic sizes are {', '.join(names) or 'none'}",
                fix="use the names of the Dims in dynamic_shapes",
            )
        )


def _is_of(size: Any, dim: Any) -> bool:
    """Whether PyTorch's size is its symbol as the user's Dim is its root: not ``s + 1`` for it."""
    if len(size.free_symbols) != 1:
        return False
    (symbol,) = size.free_symbols
    return all(size.subs(symbol, n) == _at(dim, n) for n in (6, 12))


def _require_fixed(dim: Any, size: int, place: str) -> None:
    """Errors: ConversionError for a number that PyTorch made of a size that is to vary.

    torch.export refuses what it fixes itself, and says nothing where it decomposes an operator.
    """
    root = _root(dim)
    if dim is not None and root.min < root.max:
        name = root.__name__
        raise ConversionError(
            explain(
                f"PyTorch makes the number {size} of {place}, which is the dynamic size {name}, as "
                "it decomposes an operator that has no converter",
                fix=f"leave {name} out of dynamic_shapes, or register converters for the operators "
                "that torch.export leaves in the graph",
            )
        )


def _require_bound(name: str, bounds: Any, place: str | None, *, is_named: bool) -> None:
    """Errors: ConversionError for a size that may be as large as it likes."""
    if getattr(bounds.upper, "is_Integer", isinstance(bounds.upper, int)):
        return
    at = f", {place}," if place else ""
    fix = f'torch.export.Dim("{name}", min={max(int(bounds.lower), 1)}, max=...)'
    if not is_named:
        fix = f'torch.export.Dim.AUTO(max=...), or torch.export.Dim("{name}", min=1, max=...)'
    what = f"size {name}{at} has no upper bound, and TensorRT needs one"
    raise ConversionError(explain(what, fix=fix))


def _range(
    name: str, bounds: Any, opt: Mapping[str, int], example: int | None, asked: Any
) -> DimRange:
    # PyTorch's default of 0 would be an empty batch, which few networks can compute.
    low = max(int(bounds.lower), 1)
    least, most = getattr(asked, "min", low), getattr(asked, "max", bounds.upper)
    if low == 2:  # where a Dim is a multiple of another, PyTorch leaves 1 out, as it always does
        low = max(least, 1)
    if low > max(least, 1) or bounds.upper < most:
        raise ConversionError(
            explain(
                f"the model works for {name} of {low} to {bounds.upper}, and dynamic_shapes has "
                f"{least} to {most}",
                fix="give a larger example input, if something inside of this one has a size of 1; "
                f'or torch.export.Dim("{name}", min={low}, max={bounds.upper})',
            )
        )
    high = int(bounds.upper)
    chosen = opt.get(name, min(max(low if example is None else example, low), high))
    if not isinstance(chosen, int) or not low <= chosen <= high:
        raise ConversionError(
            explain(
                f"opt of size {name} is {chosen!r}, outside of {low}..{high}",
                fix=f"tune for a size in {low}..{high}, or widen the Dim",
            )
        )
    return DimRange(min=low, opt=chosen, max=high)
