"""A network for people: as text, as a table for the terminal, and as a Graphviz drawing.

Layers that no input reaches, weights and what is folded into them, only show where they are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from trtdsl.ir.constant import Constant, Weights
from trtdsl.reference import fold
from trtdsl.types import DType

if TYPE_CHECKING:
    from rich.table import Table

    from trtdsl.ir.base import Layer
    from trtdsl.network import Network, Operation, Tensor

__all__ = ["count_layers", "count_weights", "drawing", "size_text", "table", "text"]

_NEUTRAL = {"stride": 1, "dilation": 1, "pre_padding": 0, "post_padding": 0}
"""What these attributes are, along every axis, where they do nothing."""


def text(network: Network) -> str:
    """The network as lines: inputs, layers in order, outputs.

    A layer's line is its name, the type of what it gives, and the call,
    ``Layer(attributes)(inputs)``.
    Weights come with their type, numbers as their value.
    """
    rows = list(_rows(network))
    names = [row.name for row in rows] + [x.name for x in network.inputs]
    types = [row.type for row in rows] + [str(x.type) for x in network.inputs]
    width, type_width = max(map(len, names), default=0), max(map(len, types), default=0)

    def line(name: str, kind: str, rest: str) -> str:
        return f"  {name:<{width}}  {kind:<{type_width}}  {rest}".rstrip()

    lines = [_summary(network)]
    lines += [line(x.name, str(x.type), "input") for x in network.inputs]
    for row in rows:
        lines.append(line(row.name, row.type, f"= {row.layer}({row.inputs})"))
        lines += [f"    {inner}" for inner in row.inside]
    lines += [f"  {x.name}: {x.type} is output of {_origin(x)}" for x in network.outputs]
    lines += [f"  {name} is {size.min} to {size.max}, tuned for {size.opt}"
              for name, size in network.symbols.items()]  # fmt: skip
    return "\n".join(lines)


def table(network: Network) -> Table:
    """The layers as a table for the terminal."""
    from rich.markup import escape
    from rich.table import Table

    made = Table(title=escape(_summary(network)), title_justify="left")
    for column in ("name", "layer", "inputs", "output"):
        made.add_column(column, overflow="fold")
    for x in network.inputs:
        made.add_row(escape(x.name), "input", "", escape(str(x.type)))
    for row in _rows(network):
        made.add_row(*map(escape, (row.name, row.layer, row.inputs, row.type)))
    for x in network.outputs:
        made.add_row(escape(x.name), "output", escape(_origin(x)), escape(str(x.type)))
    return made


def drawing(network: Network) -> str:
    """The network in Graphviz's dot language, with a box around each submodule of the model.

    ``trtdsl inspect ... --dot | dot -Tsvg > network.svg``. Source: https://graphviz.org/doc/info/lang.html.
    """
    groups = [(x,) for x in network.inputs] + [op.outputs for op in _shown(network)]
    ids = {x: f"n{i}" for i, group in enumerate(groups) for x in group}
    root = _Module()
    for operation in _shown(network):
        root.at(operation.source.module).operations.append(operation)
    inputs = [
        f"  {ids[x]} [label={_quoted(x.name, x.type)}, shape=ellipse];" for x in network.inputs
    ]
    ends = [
        f"  out{i} [label={_quoted(x.name)}, shape=ellipse];\n  {ids[x]} -> out{i};"
        for i, x in enumerate(network.outputs)
    ]
    edges = [
        f"  {ids[x]} -> {ids[operation.outputs[0]]};"
        for operation in _shown(network)
        for x in operation.inputs
        if not x.is_constant
    ]
    head = [f"digraph {_quoted(network.name)} {{", "  node [shape=box];"]
    return "\n".join([*head, *inputs, *root.lines(ids, ""), *edges, *ends, "}"])


def size_text(size: int) -> str:
    """Bytes for people: ``0 B``, ``1.5 KiB``, ``97.8 MiB``."""
    if size < 1024:
        return f"{size} B"
    number = float(size)
    for unit in ("KiB", "MiB", "GiB"):
        number /= 1024
        if number < 1024 or unit == "GiB":
            break
    return f"{number:.1f} {unit}"


def count_layers(network: Network) -> int:
    """The layers that an input reaches."""
    return sum(1 for _ in _shown(network))


def count_weights(network: Network) -> tuple[int, int]:
    """How many weights the layers read, and their bytes; lone numbers do not count."""
    read = [x for operation in _shown(network) for x in operation.inputs]
    tensors = [w.tensor for w in _weights(read) if w.name is not None or w.tensor.numel() > 1]
    return sum(x.numel() for x in tensors), sum(x.numel() * x.element_size() for x in tensors)


@dataclass(frozen=True, kw_only=True)
class _Row:
    name: str
    layer: str
    inputs: str
    type: str
    inside: tuple[str, ...] = ()


@dataclass(kw_only=True)
class _Module:
    """A submodule in the drawing: its own layers, and the submodules in it by name."""

    path: str = ""
    operations: list[Operation] = field(default_factory=list)
    children: dict[str, _Module] = field(default_factory=dict)

    def at(self, path: str) -> _Module:
        name, _, rest = path.partition(".")
        if not name:
            return self
        own = f"{self.path}.{name}".lstrip(".")
        return self.children.setdefault(name, _Module(path=own)).at(rest)

    def lines(self, ids: dict[Tensor, str], indent: str) -> Iterator[str]:
        inner = f"{indent}  "
        for operation in self.operations:
            label = _quoted(_attributes(operation.layer), *(x.type for x in operation.outputs))
            name = ids[operation.outputs[0]]
            yield f"{inner}{name} [label={label}, tooltip={_quoted(operation.name)}];"
        for name, child in self.children.items():
            yield f"{inner}subgraph {_quoted(f'cluster_{child.path}')} {{"
            yield f"{inner}  label={_quoted(name)};"
            yield from child.lines(ids, inner)
            yield f"{inner}}}"


def _summary(network: Network) -> str:
    count, size = count_weights(network)
    parts = [
        _counted(len(network.inputs), "input"),
        _counted(count_layers(network), "layer"),
        _counted(len(network.outputs), "output"),
        f"{_counted(count, 'weight')} ({size_text(size)})",
    ]
    return f"{network.name}: {', '.join(parts)}"


def _counted(count: int, word: str) -> str:
    return f"{count:,} {word}{'s' * (count != 1)}"


def _shown(network: Network) -> Iterator[Operation]:
    """The operations that an input or a symbolic size reaches."""
    return (op for op in network.operations if not all(x.is_constant for x in op.outputs))


def _rows(network: Network) -> Iterator[_Row]:
    for operation in _shown(network):
        yield _Row(
            name=operation.name,
            layer=_attributes(operation.layer),
            inputs=", ".join(map(_operand, operation.inputs)),
            type=", ".join(str(x.type) for x in operation.outputs),
            inside=tuple(_inside(operation.layer)),
        )


def _inside(layer: Layer) -> Iterator[str]:
    """The networks that a layer is made of, without the sizes that they share with its own."""
    for name, network in layer.networks.items():
        first, *rest = text(replace(network, symbols={})).splitlines()
        yield f"{name}: {first.partition(': ')[2]}"
        yield from rest


def _operand(x: Tensor) -> str:
    """``conv1`` for what is computed, ``fc.weight: f32[10, 64]``, or ``0.5`` for a number.

    What is computed from several weights before the engine runs is called after the largest.
    """
    if not x.is_constant:
        return x.name
    named = [w for w in _weights([x]) if w.name is not None]
    if not named and x.type.volume == 1:
        return f"{fold(x).item():g}"
    largest = max(named, key=lambda w: w.tensor.numel(), default=None)
    name = x.name if largest is None else largest.name
    return f"{'folded ' * (len(named) > 1)}{name}: {x.type}"


def _origin(x: Tensor) -> str:
    return x.producer.name if x.producer else "an input"


def _weights(tensors: Iterable[Tensor]) -> Iterator[Weights]:
    """The weights that these tensors are, or are folded from, each once; tied ones are one."""
    seen: set[Tensor] = set()
    stack = list(tensors)
    while stack:
        x = stack.pop()
        if not x.is_constant or x in seen or x.producer is None:
            continue
        seen.add(x)
        stack += x.producer.inputs
        if isinstance(x.producer.layer, Constant):
            yield x.producer.layer.weights


def _attributes(layer: Any) -> str:
    """``Convolution(stride=(2, 2), padding=(3, 3))``: what is neither default nor neutral."""
    values = {
        f.name: getattr(layer, f.name)
        for f in fields(layer)
        if f.repr and (f.default is MISSING or getattr(layer, f.name) != f.default)
    }
    for name, neutral in _NEUTRAL.items():
        value = values.get(name)
        if isinstance(value, tuple) and all(v == neutral for v in value):
            del values[name]
    if "pre_padding" in values and values["pre_padding"] == values.get("post_padding"):
        values = {"padding" if n == "pre_padding" else n: v for n, v in values.items()}
        del values["post_padding"]
    written = ", ".join(f"{name}={_value(value)}" for name, value in values.items())
    return f"{type(layer).__name__}({written})"


def _value(value: Any) -> str:
    if isinstance(value, DType):
        return value.short
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, tuple):
        inside = ", ".join(map(_value, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return str(value)


def _quoted(*lines: object) -> str:
    escaped = (str(x).replace("\\", "\\\\").replace('"', '\\"') for x in lines)
    return '"' + "\\n".join(escaped) + '"'
