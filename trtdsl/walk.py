"""The walk over a captured graph: operators to converters, each result held to PyTorch's.

Also the list of what has no converter, all at once.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from trtdsl.asserted import CHECKS, only_checked, warn_of_values
from trtdsl.capture import Captured
from trtdsl.complex import Complex, part_dtype
from trtdsl.control import OPERATORS, lower_control
from trtdsl.dynamic import output_names
from trtdsl.errors import ConversionError, TrtdslError, UnsupportedError, explain
from trtdsl.expression import expression
from trtdsl.measure import bindings, computed, symbols_of
from trtdsl.network import Network, Tensor
from trtdsl.registry import Converter, find
from trtdsl.source import Source
from trtdsl.stubs import layer_note, source
from trtdsl.types import Dim, DType, bind, symbols

__all__ = ["Report", "Unsupported", "keeps", "network", "report"]

_READS = {"aten.item.default", "aten._local_scalar_dense.default"}
_FACTORS = re.compile(
    r"aten\.(_?linalg_(eig|qr|svd|lu|ldl|lstsq|pinv|householder)|geqrf|lu|_lu|qr|svd|pinverse)"
)
_REGIONS = {"wrap_with_set_grad_enabled", "wrap_with_autocast"}


@dataclass(frozen=True, kw_only=True)
class Unsupported:
    """An operator that has no converter, and where the model uses it."""

    operator: str
    calls: tuple[str, ...]
    """Its different calls: ``aten.foo.default(f32[1, 8], 2)``."""
    places: tuple[Source, ...]
    fix: str
    """What to do about it."""

    def __str__(self) -> str:
        lines = [f"  {call}" for call in self.calls[:3]]
        modules = ((p.line, f" (module {p.module})" if p.module else "") for p in self.places)
        lines += [f"    at:  {line}{module}" for line, module in list(dict.fromkeys(modules))[:3]]
        uses = f"{len(self.places)} use{'s' * (len(self.places) > 1)}"
        lines.append(f"    fix: {uses}; {self.fix}")
        if note := layer_note(self.operator):
            lines.append(f"    {note}")
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What ``check`` found: ``ok``, the number of operators, and those without a converter."""

    operators: int
    unsupported: tuple[Unsupported, ...] = ()
    network: Network | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        return not self.unsupported

    def stubs(self) -> str:
        """Python with a plugin or a converter to fill in for each operator that has none."""
        return source([missing.operator for missing in self.unsupported])

    def __str__(self) -> str:
        if self.ok:
            one = self.operators == 1
            return (
                "its one operator has a converter"
                if one
                else f"all {self.operators} operators have converters"
            )
        count = len(self.unsupported)
        has = "operators have" if count > 1 else "operator has"
        return "\n".join([f"{count} {has} no converter", *map(str, self.unsupported)])


def keeps(find: Callable[..., Converter | None]) -> Callable[[Any], bool]:
    """Whether capture should leave an operator whole: it has a converter, or needs none."""
    return lambda target: (
        str(target) in CHECKS or any(find(target, complex=c) is not None for c in (False, True))
    )


def report(captured: Captured) -> Report:
    """Every operator of a captured graph that has no converter."""
    nodes = list(_nodes(captured.module))
    targets = {str(n.target) for n in nodes}
    missing: dict[str, list[Node]] = {}
    unknown = [n for n in nodes if not _is_known(n)]
    for node in unknown:
        missing.setdefault(str(node.target), []).append(node)
    unsupported = tuple(
        Unsupported(
            operator=target,
            calls=tuple(dict.fromkeys(_call(node, captured.names) for node in uses)),
            places=tuple(_source(node, captured.prefix) for node in uses),
            fix=_fix(uses[0]),
        )
        for target, uses in missing.items()
    )
    return Report(operators=len(targets), unsupported=unsupported)


def network(captured: Captured, *, name: str = "network") -> Network:
    """The network definition of a captured graph.

    Errors: UnsupportedError lists every operator without a converter; ConversionError where a
    converter refuses its arguments or gives another shape or dtype than PyTorch.
    """
    found = report(captured)
    if not found.ok:
        raise UnsupportedError(str(found))
    net = Network(
        name=name,
        symbols=dict(captured.symbols),
        input_tree=captured.input_tree,
        output_tree=captured.output_tree,
        parameters=captured.parameters,
        state=dict(captured.state),
    )
    walker = _Walker(net, captured)
    for node, input_name in captured.inputs:
        val = node.meta["val"]
        shape = tuple(expression(d, captured.names) for d in val.shape)
        walker.values[node] = net.input(
            input_name, shape, walker.input_dtype(val.dtype, input_name)
        )
    walker.run(captured.module)
    outputs = output_names(captured.output_tree, [name for _, name in captured.inputs])
    for node, output_name in zip(captured.outputs, outputs, strict=True):
        walker.output(node, output_name)
    return net


class _Walker:
    """The values of the graph's nodes so far, and the network they are written to."""

    def __init__(self, net: Network, captured: Captured) -> None:
        self.net = net
        self.captured = captured
        self.names: dict[Any, Any] = dict(captured.names)
        """PyTorch's symbols, and the user's names for them, or the sizes that values decide."""
        self.values: dict[Node, Any] = {}
        self.constants: dict[int, Tensor | Complex] = {}

    def run(self, module: GraphModule) -> Any:
        unneeded = only_checked(module.graph)
        for node in module.graph.nodes:
            if node.op == "output":
                return self.argument(node.args[0])
            if node not in self.values and node not in unneeded:
                self.values[node] = self.value(node, module)
        return None

    def value(self, node: Node, module: GraphModule) -> Any:
        if node.op == "placeholder":
            return self.weight(node) if node in self.captured.weights else None
        if node.op == "get_attr":
            attribute = operator.attrgetter(str(node.target))(module)
            return self.constant(attribute, str(node.target)) if _is_data(attribute) else attribute
        if _is_symbolic(node) and not symbols_of(node):
            return self.number(node)
        if node.target is operator.getitem:
            return self.argument(node.args[0])[node.args[1]]
        if str(node.target) in CHECKS:
            return warn_of_values(
                node, self.captured.bounds, _source(node, self.captured.prefix).line
            )
        if _is_number(node):
            return node.meta.get("val")
        if str(node.target) in _REGIONS:
            return self.region(node)
        if str(node.target) in OPERATORS:
            return self.control(node)
        return self.operator(node)

    def weight(self, node: Node) -> Tensor | Complex:
        tensor, name = self.captured.weights[node]
        return self.constant(tensor, name)

    def constant(self, tensor: torch.Tensor, name: str) -> Tensor | Complex:
        if id(tensor) not in self.constants:
            self.constants[id(tensor)] = self.written(tensor, name)
        return self.constants[id(tensor)]

    def written(self, tensor: torch.Tensor, name: str) -> Tensor | Complex:
        if not tensor.is_complex():
            return self.net.constant(tensor, name=name)
        self.part_dtype(tensor.dtype, name)
        real, imag = torch.view_as_real(tensor.resolve_conj()).unbind(-1)
        parts = [(real, f"{name}.real"), (imag, f"{name}.imag")]
        return Complex(*(self.net.constant(x.contiguous(), name=n) for x, n in parts))

    def region(self, node: Node) -> Any:
        """The body of ``torch.no_grad()`` or of a disabled autocast inside the model."""
        values = [self.argument(a) for a in node.args]
        if str(node.target) == "wrap_with_autocast":
            if values[2]:
                raise ConversionError(
                    explain(
                        f"the model turns on autocast to {getattr(values[1], 'value', values[1])} "
                        "inside",
                        at=str(self.first_source(values[4])),
                        fix="take it out, and ask for precision='fp16' at conversion",
                    )
                )
            values = [values[4], *values[5:]]
        else:
            values = values[1:]
        body, *inputs = values
        return self.body(body, inputs)

    def body(self, body: GraphModule, inputs: Sequence[Any]) -> Any:
        """What a nested graph gives for these inputs; it may be run several times."""
        for node in body.graph.nodes:
            self.values.pop(node, None)
        placeholders = [n for n in body.graph.nodes if n.op == "placeholder"]
        self.values.update(zip(placeholders, inputs, strict=True))
        return self.run(body)

    def control(self, node: Node) -> Any:
        source = _source(node, self.captured.prefix)
        args = [self.argument(a) for a in node.args]
        with self.net.at(source), _located(source):
            result = lower_control(self.net, str(node.target), self.body, args)
        self.compare(node, result, source)
        return result

    def first_source(self, body: GraphModule) -> Source:
        calls = (n for n in body.graph.nodes if n.op == "call_function")
        return _source(next(calls, body.graph.output_node()), self.captured.prefix)

    def operator(self, node: Node) -> Any:
        converter = _converter(node)
        assert converter is not None, f"{node.target} was reported as known"
        source = _source(node, self.captured.prefix)
        with self.net.at(source), _located(source):
            args = [self.argument(a) for a in node.args]
            kwargs = {k: self.argument(v) for k, v in node.kwargs.items()}
            first = [self.net] if converter.wants_network else []
            result = converter.function(*first, *args, **kwargs)
            self.names.update(bindings(self.net, node, result, self.captured.bounds))
        if _is_symbolic(node) and symbols_of(node).keys() <= self.names.keys():
            return expression(node.meta["val"], self.names)
        self.compare(node, result, source)
        return result

    def number(self, node: Node) -> Any:
        """Arithmetic on sizes, or on a float that is read from a tensor."""
        args = [self.argument(a) for a in node.args]
        if not _is_number(node) or not any(isinstance(a, Tensor) for a in args):
            return expression(node.meta["val"], self.names)
        source = _source(node, self.captured.prefix)
        with self.net.at(source), _located(source):
            return computed(node.target, args)

    def argument(self, value: Any) -> Any:
        if isinstance(value, Node):
            return self.values[value]
        if isinstance(value, list | tuple):
            return [self.argument(v) for v in value]
        if isinstance(value, torch.dtype):
            return value if value.is_complex else self.dtype(value, "an argument")
        return value

    def part_dtype(self, dtype: torch.dtype, what: str) -> DType:
        try:
            return part_dtype(dtype)
        except ValueError:
            raise ConversionError(
                explain(f"{what} is {dtype}, which TensorRT does not have", fix="use complex64")
            ) from None

    def input_dtype(self, dtype: torch.dtype, name: str) -> DType:
        if dtype.is_complex:
            raise ConversionError(
                explain(
                    f"input {name} is {dtype}, which no engine takes",
                    fix="take torch.view_as_real(x), with a last axis of 2, and let the model call "
                    "torch.view_as_complex",
                )
            )
        return self.dtype(dtype, name)

    def output(self, node: Node, name: str) -> None:
        value = self.values[node]
        if isinstance(value, Complex):
            raise ConversionError(
                explain(
                    f"output {name} is {value.type}, which no engine gives",
                    fix="return torch.view_as_real(y), with a last axis of 2",
                )
            )
        self.net.output(value, name)

    def dtype(self, dtype: torch.dtype, what: str) -> DType:
        try:
            return DType.of(dtype)
        except ValueError:
            raise ConversionError(
                explain(
                    f"{what} is {dtype}, which TensorRT does not have", fix="use float32 or int64"
                )
            ) from None

    def compare(self, node: Node, result: Any, source: Source) -> None:
        """Hold what a converter gave against what PyTorch says the operator gives."""
        ours, theirs = _several(result), _several(node.meta.get("val"))
        agree = len(ours) == len(theirs) and all(map(self.agrees, ours, theirs))
        if not agree:
            given = ", ".join(str(getattr(x, "type", x)) for x in ours)
            expected = ", ".join(_short(x, self.names) for x in theirs)
            fix = "correct the converter; the engine would be wrong"
            ones = [name for name, size in self.net.symbols.items() if size.min == 1]
            if ones:  # torch.export traces as if every dynamic size were 2 or more
                fix = f"give {', '.join(ones)} min=2, which torch.export assumes, or {fix}"
            what = f"the converter of {node.target} gives {given}, PyTorch {expected}"
            raise ConversionError(explain(what, at=str(source), fix=fix))

    def agrees(self, ours: Any, theirs: Any) -> bool:
        """Whether dtype, rank and sizes are equal; where PyTorch gives no tensor, always."""
        if not isinstance(theirs, torch.Tensor) or not isinstance(ours, Tensor | Complex):
            # What is no tensor yet, such as the absent indices of a pooling, refuses to be used.
            return not isinstance(theirs, torch.Tensor) or hasattr(type(ours), "__getattr__")
        sizes = [expression(d, self.names) for d in theirs.shape]
        dtype = ours.torch_dtype if isinstance(ours, Complex) else ours.dtype.torch
        return (
            dtype == theirs.dtype
            and ours.rank == len(sizes)
            and all(map(self.is_equal, ours.shape, sizes))
        )

    def is_equal(self, ours: Dim, theirs: Dim) -> bool:
        """Whether two sizes are equal wherever a profile looks: at min, opt and max."""
        if ours == theirs:
            return True
        if symbols((ours, theirs)) - self.net.symbols.keys():
            return False
        points = (
            {name: getattr(size, which) for name, size in self.net.symbols.items()}
            for which in ("min", "opt", "max")
        )
        return all(bind(ours, point) == bind(theirs, point) for point in points)


@contextmanager
def _located(source: Source) -> Iterator[None]:
    """An error that comes out says where in the user's model it arose."""
    try:
        yield
    except TrtdslError as error:
        if "\n  at:  " in str(error):
            raise
        what, _, fix = str(error).partition("\n  fix: ")
        raise type(error)(explain(what, at=str(source), fix=fix)) from error


def _several(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else (value,)


def _is_data(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def _is_number(node: Node) -> bool:
    """Arithmetic on sizes that turned out to be plain numbers."""
    return not isinstance(node.target, torch._ops.OperatorBase)


def _is_known(node: Node) -> bool:
    target = str(node.target)
    if _is_symbolic(node) and not symbols_of(node):
        return True
    known = target in CHECKS or target in _REGIONS or target in OPERATORS
    return known or _converter(node) is not None


def _converter(node: Node) -> Converter | None:
    return find(node.target, complex=any(map(_is_complex, (node, *node.all_input_nodes))))


def _is_complex(node: Node) -> bool:
    """Whether a node's value is a complex tensor, or a list of them."""
    values = _several(node.meta.get("val"))
    return any(isinstance(v, torch.Tensor) and v.is_complex() for v in values)


def _is_symbolic(node: Node) -> bool:
    return isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)


def _fix(node: Node) -> str:
    if str(node.target) in _READS:
        return "leave the number in its tensor, without item(), int(), float() or bool()"
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return "compute every branch and choose with torch.where; loops and branches are not yet"
    if torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ()):
        return "an engine draws no random numbers; draw them outside and pass them as an input"
    if _FACTORS.match(str(node.target)):
        return (
            "TensorRT factors no matrices; compute the factors outside of the model, and pass them "
            "as inputs or buffers"
        )
    if symbols_of(node):
        return (
            "its size depends on values; keep the size and mark what counts, with torch.where, "
            "masked_fill or topk"
        )
    return f'@trtdsl.converter(torch.ops.{node.target}), see CONTRIBUTING.md, "add a converter"'


def _nodes(module: GraphModule) -> Iterator[Node]:
    """The calls of operators, but for those that only checks read."""
    graphs: list[Graph] = [m.graph for m in module.modules() if isinstance(m, GraphModule)]
    for graph in graphs:
        unneeded = only_checked(graph)
        calls = (n for n in graph.nodes if n.op == "call_function" and n not in unneeded)
        yield from (n for n in calls if isinstance(n.target, torch._ops.OperatorBase))


def _source(node: Node, prefix: str) -> Source:
    stack: Mapping[str, tuple[str, Any]] = node.meta.get("nn_module_stack") or {}
    path = [p for p, _ in stack.values()][-1] if stack else ""
    module = path.removeprefix(prefix).lstrip(".") if prefix else path
    return Source(
        module=module, operator=str(node.target), stack=node.meta.get("stack_trace") or ""
    )


def _call(node: Node, names: Mapping[Any, str]) -> str:
    """``aten.foo.default(f32[1, 8], 2)``."""
    parts = [_short(a, names) for a in node.args]
    parts += [f"{k}={_short(v, names)}" for k, v in node.kwargs.items()]
    return f"{node.target}({', '.join(parts)})"


def _short(value: Any, names: Mapping[Any, str]) -> str:
    """``f32[1, 8]`` for a tensor of PyTorch's; other values as they are."""
    if isinstance(value, Node):
        return _short(value.meta["val"], names) if "val" in value.meta else str(value.target)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_short(v, names) for v in value)}]"
    if isinstance(value, torch.Tensor):
        sizes = ", ".join(str(expression(d, names)) for d in value.shape)
        kind = str(value.dtype).removeprefix("torch.")
        short = DType(kind).short if kind in {d.value for d in DType} else kind
        return f"{short}[{sizes}]"
    return str(expression(value, names))
