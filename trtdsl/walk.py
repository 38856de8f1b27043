"""The walk over a captured graph: operators to converters, each result held to PyTorch's."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.fx import GraphModule, Node

from trtdsl.capture import Captured
from trtdsl.complex import Complex, part_dtype
from trtdsl.control import OPERATORS, Bodies, lower_control
from trtdsl.errors import ConversionError, UnsupportedError, explain
from trtdsl.export.asserted import CHECKS, only_checked, warn_of_values
from trtdsl.export.dynamic import output_names
from trtdsl.export.unchecked import unchecked
from trtdsl.expression import expression
from trtdsl.ir.constant import Weights
from trtdsl.located import carried, explained, located
from trtdsl.measure import bindings, computed, symbols_of
from trtdsl.network import Network, Tensor
from trtdsl.nodes import REGIONS, converter_of, is_number, is_symbolic, several, shown, source_of
from trtdsl.registry import Converter
from trtdsl.report import report
from trtdsl.source import Source
from trtdsl.types import Dim, DimRange, DType, TensorType, bind, is_static, symbols

__all__ = ["keeps", "network"]


def keeps(find: Callable[..., Converter | None]) -> Callable[[Any], bool]:
    """Whether capture should leave an operator whole: it has a converter, or needs none."""
    return lambda target: (
        str(target) in CHECKS or any(find(target, complex=c) is not None for c in (False, True))
    )


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
        settled={k: Weights(tensor=x, name=k) for k, x in captured.settled.items()},
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


_LOOKED_AT: tuple[Callable[[DimRange], int], ...] = (
    lambda size: size.min,
    lambda size: size.opt,
    lambda size: size.max,
    lambda size: min(size.min + 1, size.max),
    lambda size: min(size.opt + 1, size.max),
    lambda size: max(size.max - 1, size.min),
)


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
                with carried(node):
                    self.values[node] = self.value(node, module)
        return None

    def value(self, node: Node, module: GraphModule) -> Any:
        if node.op == "placeholder":
            return self.weight(node) if node in self.captured.weights else None
        if node.op == "get_attr":
            attribute = operator.attrgetter(str(node.target))(module)
            return self.constant(attribute, str(node.target)) if _is_data(attribute) else attribute
        if is_symbolic(node) and not symbols_of(node):
            return self.number(node)
        if node.target is operator.getitem:
            return self.argument(node.args[0])[node.args[1]]
        if str(node.target) in CHECKS:
            return warn_of_values(node, self.captured)
        if is_number(node):
            return node.meta.get("val")
        if str(node.target) in REGIONS:
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

    def apart(self, body: GraphModule, inputs: Sequence[Any]) -> Network:
        """A nested graph as a network of its own, for inputs of these types; numbers stay.

        Errors: ConversionError where it gives anything but tensors, or sizes that values decide.
        """
        outer = self.net, self.constants
        self.net = net = Network(name=self.net.name, symbols=dict(self.net.symbols))
        self.constants = {}
        try:
            with net.at(self.first_source(body)):
                types = [getattr(x, "type", x) for x in inputs]
                given = [
                    net.input(f"x{i}", t.shape, t.dtype) if isinstance(t, TensorType) else t
                    for i, t in enumerate(types)
                ]
                outputs = several(self.body(body, given))
        finally:
            self.net, self.constants = outer
        if net.numbers or not all(isinstance(y, Tensor) for y in outputs):
            raise ConversionError(
                explain(
                    "the body of a loop gives numbers, or sizes that its values decide",
                    at=str(self.first_source(body)),
                    fix="let it give tensors, of shapes that stay the same from trip to trip",
                )
            )
        for y in outputs:
            net.output(y)
        return net

    def control(self, node: Node) -> Any:
        source = source_of(node, self.captured.prefix)
        args = [self.argument(a) for a in node.args]
        with self.net.at(source), located(source):
            bodies = Bodies(run=self.body, apart=self.apart)
            result = lower_control(self.net, str(node.target), bodies, args)
        self.compare(node, result, source)
        return result

    def first_source(self, body: GraphModule) -> Source:
        calls = (n for n in body.graph.nodes if n.op == "call_function")
        return source_of(next(calls, body.graph.output_node()), self.captured.prefix)

    def operator(self, node: Node) -> Any:
        converter = converter_of(node)
        assert converter is not None, f"{node.target} was reported as known"
        source = source_of(node, self.captured.prefix)
        with self.net.at(source), located(source):
            args = [self.argument(a) for a in node.args]
            kwargs = {k: self.argument(v) for k, v in node.kwargs.items()}
            first = [self.net] if converter.wants_network else []
            with explained(node, converter):
                result = converter.function(*first, *args, **kwargs)
            self.names.update(bindings(self.net, node, result, self.captured.bounds))
        if is_symbolic(node) and symbols_of(node).keys() <= self.names.keys():
            return expression(node.meta["val"], self.names)
        self.compare(node, result, source)
        return result

    def number(self, node: Node) -> Any:
        """Arithmetic on sizes, or on a float that is read from a tensor."""
        args = [self.argument(a) for a in node.args]
        if not is_number(node) or not any(isinstance(a, Tensor) for a in args):
            return expression(node.meta["val"], self.names)
        source = source_of(node, self.captured.prefix)
        with self.net.at(source), located(source):
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
            fix = "use float32: model.float(), and x.float() of inputs"
            if not dtype.is_floating_point:
                fix = "use int32 or int64: x.int()"
            raise ConversionError(
                explain(f"{what} is {dtype}, which TensorRT does not have", fix=fix)
            ) from None

    def compare(self, node: Node, result: Any, source: Source) -> None:
        """Hold what a converter gave against what PyTorch says the operator gives."""
        ours, theirs = several(result), several(node.meta.get("val"))
        met = self.met(node)
        agree = len(ours) == len(theirs) and all(
            self.agrees(x, y, met) for x, y in zip(ours, theirs, strict=True)
        )
        if not agree:
            given = ", ".join(map(_type, ours))
            expected = ", ".join(shown(x, self.names) for x in theirs)
            fix = "correct the converter; the engine would be wrong"
            ones = [name for name, size in self.net.symbols.items() if size.min == 1]
            if ones:  # torch.export traces as if every dynamic size were 2 or more
                fix = f"give {', '.join(ones)} min=2, which torch.export assumes, or {fix}"
            what = f"the converter of {node.target} gives {given}, PyTorch {expected}"
            raise ConversionError(explain(what, at=str(source), fix=fix))
        for x, y in zip(ours, theirs, strict=True):
            for one, other in self.counted_on(x, y):
                what = f"the model counts on {other} of what {node.target} finds, {one}"
                unchecked(what, str(source))

    def met(self, node: Node) -> dict[int, set[Dim]]:
        """The sizes that an operator broadcasts with each other, by axes from the last one on."""
        sizes = defaultdict[int, set[Dim]](set)
        for given in node.all_input_nodes:
            own, traced = self.values.get(given), given.meta.get("val")
            if isinstance(own, Tensor) and isinstance(traced, torch.Tensor):
                for axis, size in enumerate(reversed(own.shape)):
                    sizes[axis].add(size)
                for axis, size in enumerate(reversed(traced.shape)):
                    sizes[axis].add(expression(size, self.names))
        return sizes

    def agrees(self, ours: Any, theirs: Any, met: Mapping[int, set[Dim]]) -> bool:
        """Whether dtype, rank and sizes are equal; where PyTorch gives no tensor, always.

        Of two sizes that an operator broadcasts with each other, one that values decide is the
        other at run time, or there is an error: either may be the result's.
        """
        if not isinstance(theirs, torch.Tensor) or not isinstance(ours, Tensor | Complex):
            # What is no tensor yet, such as the absent indices of a pooling, refuses to be used.
            return not isinstance(theirs, torch.Tensor) or hasattr(type(ours), "__getattr__")
        sizes = [expression(d, self.names) for d in theirs.shape]
        dtype = ours.torch_dtype if isinstance(ours, Complex) else ours.dtype.torch
        return (
            dtype == theirs.dtype
            and ours.rank == len(sizes)
            and all(
                self.is_equal(one, other) or self.is_decided(one, other, met.get(axis, set()))
                for axis, (one, other) in enumerate(
                    zip(reversed(ours.shape), reversed(sizes), strict=True)
                )
            )
        )

    def is_decided(self, ours: Dim, theirs: Dim, met: set[Dim]) -> bool:
        """Whether values decide one of two sizes that are broadcast with each other.

        Or what is found is to be as much as the model has for it elsewhere.
        """
        decided = bool(symbols((ours, theirs)) & self.net.numbers.keys())
        return decided and (met.issuperset((ours, theirs)) or is_static((theirs,)))

    def counted_on(self, ours: Any, theirs: Any) -> Iterator[tuple[Dim, Dim]]:
        """The sizes that values decide, with the number that PyTorch was told that each is."""
        if isinstance(ours, Tensor) and isinstance(theirs, torch.Tensor):
            for one, size in zip(ours.shape, theirs.shape, strict=True):
                other = expression(size, self.names)
                if symbols((one,)) & self.net.numbers.keys() and is_static((other,)):
                    yield one, other

    def is_equal(self, ours: Dim, theirs: Dim) -> bool:
        """Whether two sizes are equal wherever a profile looks, at min, opt and max, and between.

        Next to these, what is rounded tells even sizes from odd ones.
        """
        if ours == theirs:
            return True
        if symbols((ours, theirs)) - self.net.symbols.keys():
            return False
        points = ({name: of(size) for name, size in self.net.symbols.items()} for of in _LOOKED_AT)
        return all(bind(ours, point) == bind(theirs, point) for point in points)


def _type(x: Any) -> str:
    return "a torch.Tensor" if isinstance(x, torch.Tensor) else str(getattr(x, "type", x))


def _is_data(value: Any) -> bool:
    return isinstance(value, torch.Tensor)
