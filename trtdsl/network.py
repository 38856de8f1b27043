"""``Network``: layers in order, inputs, outputs and weights; ``Tensor``: what flows between."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from trtdsl import operators
from trtdsl.by_hand import require_attributes, require_name, shape_of, unpacked
from trtdsl.errors import ConversionError, ShapeError, explain
from trtdsl.ir.constant import Constant, Weights
from trtdsl.ir.shape import Size
from trtdsl.source import Source
from trtdsl.tree import Placeholder, Tree, flatten
from trtdsl.types import Dim, DimRange, DType, TensorType, bounds, symbols
from trtdsl.weights.state import StateKey

if TYPE_CHECKING:
    import torch

    from trtdsl.engine import Engine
    from trtdsl.ir.base import Layer
    from trtdsl.options import BuildArguments

__all__ = ["Network", "Operation", "Scalar", "Tensor"]

Scalar: TypeAlias = bool | int | float


@dataclass(eq=False, repr=False)
class Tensor:
    """A value in a network: the output of a layer, or an input.

    Operators broadcast, align rank and promote dtype as PyTorch's do, with tensors, Python scalars
    and symbolic sizes on either side; arrays of PyTorch's and numpy's become constants.
    ``==`` is identity; ``x.equal(y)`` compares elements.
    ``& | ^ ~`` are logical, of bools and of numbers, where anything but 0 is true.
    """

    network: Network
    type: TensorType
    name: str
    producer: Operation | None = None
    is_constant: bool = False
    """Whether neither an input nor a symbolic size reaches this value."""

    __array_ufunc__ = None  # numpy's arrays leave operators to ours

    @property
    def dtype(self) -> DType:
        """The type of its elements."""
        return self.type.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        """Its sizes: ints, and expressions of symbols where they vary."""
        return self.type.shape

    @property
    def rank(self) -> int:
        """The number of its axes."""
        return self.type.rank

    def __repr__(self) -> str:
        return f"{self.name}: {self.type}"

    def __add__(self, other: Operand) -> Tensor:
        return operators.add(self, other)

    def __radd__(self, other: Operand) -> Tensor:
        return operators.add(other, self)

    def __sub__(self, other: Operand) -> Tensor:
        return operators.subtract(self, other)

    def __rsub__(self, other: Operand) -> Tensor:
        return operators.subtract(other, self)

    def __mul__(self, other: Operand) -> Tensor:
        return operators.multiply(self, other)

    def __rmul__(self, other: Operand) -> Tensor:
        return operators.multiply(other, self)

    def __truediv__(self, other: Operand) -> Tensor:
        return operators.divide(self, other)

    def __rtruediv__(self, other: Operand) -> Tensor:
        return operators.divide(other, self)

    def __floordiv__(self, other: Operand) -> Tensor:
        return operators.floor_divide(self, other)

    def __rfloordiv__(self, other: Operand) -> Tensor:
        return operators.floor_divide(other, self)

    def __mod__(self, other: Operand) -> Tensor:
        return operators.remainder(self, other)

    def __rmod__(self, other: Operand) -> Tensor:
        return operators.remainder(other, self)

    def __pow__(self, other: Operand) -> Tensor:
        return operators.power(self, other)

    def __rpow__(self, other: Operand) -> Tensor:
        return operators.power(other, self)

    def __matmul__(self, other: Operand) -> Tensor:
        return operators.matmul(self, other)

    def __rmatmul__(self, other: Operand) -> Tensor:
        return operators.matmul(other, self)

    def __neg__(self) -> Tensor:
        return operators.negative(self)

    def __lt__(self, other: Operand) -> Tensor:
        return operators.less(self, other)

    def __gt__(self, other: Operand) -> Tensor:
        return operators.less(other, self)

    def __le__(self, other: Operand) -> Tensor:
        return operators.less_equal(self, other)

    def __ge__(self, other: Operand) -> Tensor:
        return operators.less_equal(other, self)

    def equal(self, other: Operand) -> Tensor:
        """Whether elements are equal, as bools: ``(*S), (*T) -> (*broadcast)``."""
        return operators.equal(self, other)

    def __invert__(self) -> Tensor:
        return operators.logical_not(self)

    def __and__(self, other: Operand) -> Tensor:
        return operators.logical_and(self, other)

    def __or__(self, other: Operand) -> Tensor:
        return operators.logical_or(self, other)

    def __xor__(self, other: Operand) -> Tensor:
        return operators.logical_xor(self, other)

    __rand__, __ror__, __rxor__ = __and__, __or__, __xor__

    def cast(self, dtype: DType) -> Tensor:
        """The same values in another dtype; the tensor itself where it has that dtype."""
        return operators.cast(self, dtype)

    def reshape(self, *shape: Dim) -> Tensor:
        """The same values in another shape, of which one size may be -1.

        Errors: ShapeError where the numbers of elements differ.
        """
        return operators.reshape(self, unpacked(shape))

    def ancestry(self) -> Iterator[Operation]:
        """The operations that make a tensor, each once."""
        left, seen = [self.producer], set[Operation]()
        while left:
            operation = left.pop()
            if operation is None or operation in seen:
                continue
            seen.add(operation)
            yield operation
            left += [x.producer for x in operation.inputs]

    def permute(self, *order: int) -> Tensor:
        """Its axes in another order. Errors: ShapeError where an axis is missing or there twice."""
        return operators.permute(self, unpacked(order))

    def __bool__(self) -> bool:
        raise ConversionError(
            explain(
                f"the truth of tensor {self} is only known when the engine runs",
                at=str(self.producer.source) if self.producer else None,
                fix="use where(condition, a, b) instead of a Python branch",
            )
        )


Operand: TypeAlias = Tensor | Dim
"""And arrays of PyTorch's and numpy's, which trtdsl is not typed by."""


@dataclass(eq=False, repr=False)
class Operation:
    """A layer in its place: what it reads, what it gives, its name and where it comes from."""

    layer: Layer
    inputs: tuple[Tensor, ...]
    name: str
    source: Source
    outputs: tuple[Tensor, ...] = ()

    def __repr__(self) -> str:
        inputs = ", ".join(x.name for x in self.inputs)
        return f"{self.name} = {self.layer}({inputs})"


@dataclass(eq=False, repr=False)
class Network:
    """A network definition: what ``trtdsl.trace`` gives, and what can be written by hand.

    with Network("mlp") as net:
        x = net.input("x", (1, 8))
        net.output(Activation(type=ActivationType.RELU)(x @ w), "y")
    """

    name: str = "network"
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    symbols: dict[str, DimRange] = field(default_factory=dict)
    numbers: dict[str, Tensor] = field(default_factory=dict)
    """Symbols that values decide while the engine runs, and the int64 scalars that hold them."""
    input_tree: Tree | None = None
    output_tree: Tree | None = None
    parameters: tuple[str, ...] = ()
    state: dict[str, StateKey] = field(default_factory=dict)
    """The keys of the model's ``state_dict``, for refitting."""
    settled: dict[str, Weights] = field(default_factory=dict)
    """Weights whose values decided what the layers are, by name: a refit cannot change them."""
    _source: Source = field(default_factory=Source)
    _names: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to release: ``with`` only gives a hand-written network its block."""

    def __str__(self) -> str:
        from trtdsl.render import text

        return text(self)

    def input(self, name: str, shape: Sequence[Dim], dtype: DType = DType.FLOAT32) -> Tensor:
        """Declare an input, of a DType or ``torch.dtype``; symbolic sizes are those of ``dim``.

        Errors: ShapeError for a name that is taken, no shape, or a dtype that TensorRT has not.
        """
        require_name(name, "an input")
        shape = shape_of(shape, f"input {name}")
        for symbol in symbols(shape) - self.symbols.keys():
            raise ShapeError(f"input {name}: size {symbol!r} is unknown; make it with Network.dim")
        if any(x.name == name for x in self.inputs):
            raise ShapeError(f"input {name}: there is an input of that name already")
        try:
            dtype = DType.of(dtype)
        except ValueError as error:
            raise ShapeError(f"input {name}: {error}") from None
        tensor = Tensor(self, TensorType(dtype, tuple(shape)), self._unique(name))
        self.inputs.append(tensor)
        return tensor

    def dim(self, name: str, *, min: int, opt: int, max: int) -> Dim:
        """Declare a symbolic size of ``min`` to ``max`` at run time, tuned for ``opt``.

        Errors: ShapeError where they are not in order, or differ from those of the same name.
        """
        import sympy

        require_name(name, "a size")
        is_name = name.isidentifier() and not keyword.iskeyword(name)
        if not is_name or not all(type(size) is int for size in (min, opt, max)):
            fix = 'net.dim("rows", min=1, opt=8, max=32)'
            raise ShapeError(explain(f"size {name!r} of {min}, {opt}, {max}", fix=fix))
        if not 0 <= min <= opt <= max:
            raise ShapeError(f"size {name}: min {min}, opt {opt}, max {max} are not in order")
        range_ = DimRange(min=min, opt=opt, max=max)
        if self.symbols.get(name, range_) != range_:
            raise ShapeError(f"size {name}: it is {self.symbols[name]} already, not {range_}")
        self.symbols[name] = range_
        return sympy.Symbol(name, integer=True, positive=True)

    def unknown(self, *, max: int | None = None) -> Dim:
        """Declare a number that values decide: a size of 0 to ``max``, or without ``max`` any one.

        Whoever asks for it puts the scalar that holds it into ``numbers``.
        """
        import sympy

        name = next(n for i in count() if (n := f"u{i}") not in self.symbols | self.numbers)
        if max is None:
            return sympy.Symbol(name, integer=True)
        self.symbols[name] = DimRange(min=0, opt=max, max=max)
        return sympy.Symbol(name, integer=True, nonnegative=True)

    def output(self, tensor: Tensor, name: str | None = None) -> None:
        """Declare an output; ``name`` becomes the engine's name for it.

        Errors: ShapeError for what is no tensor of this network, or a name that is taken.
        """
        owner = getattr(tensor, "network", None)  # what stands for an absent result refuses here
        if not isinstance(tensor, Tensor):
            raise ShapeError(
                explain(
                    f"output {name or ''}: {tensor!r:.60} is a {type(tensor).__name__}",
                    fix="give a tensor of the network; x == y is Python's, x.equal(y) one",
                )
            )
        if owner is not self:
            raise ShapeError(f"output {tensor}: it belongs to network {tensor.network.name!r}")
        if name in {x.name for x in (*self.inputs, *self.outputs)}:
            raise ShapeError(f"output {name}: there is an input or output of that name already")
        if tensor in self.outputs or tensor.producer is None or tensor.is_constant:
            # TensorRT wants outputs apart from each other, from inputs and from weights.
            tensor = operators.identity(tensor)
        if name is not None:
            tensor.name = self._unique(name)
        self.outputs.append(tensor)

    def constant(
        self,
        value: torch.Tensor | Scalar | Sequence[Any],
        dtype: DType | None = None,
        *,
        name: str | None = None,
    ) -> Tensor:
        """A constant from a PyTorch tensor (held by reference), a scalar or nested sequences.

        Errors: ConversionError for what holds no numbers, or a dtype that TensorRT has not.
        """
        weights = Weights.of(value, dtype, name=name)
        return self.append(Constant(weights=weights), (), name=name)[0]

    def bounds(self, value: Dim) -> tuple[int, int]:
        """The least and greatest value of an expression over the ranges of its sizes.

        Errors: ConversionError for a number of which nothing is known.
        """
        self.require_bounds(symbols([value]))
        return bounds(value, self.symbols)

    def require_bounds(self, names: Iterable[str]) -> None:
        """Errors: ConversionError for a number that may have any value, as a size."""
        for name in names:
            if name in self.numbers and name not in self.symbols:
                raise ConversionError(
                    explain(
                        f"a number that is read from a tensor, {self.numbers[name]}, is used as a "
                        "size, and TensorRT needs to know how large it can be",
                        at=str(self._source) or None,
                        fix="n = x.item(); torch._check(n >= 0); torch._check(n <= 100), or of "
                        "what has as many rows, torch._check(y.shape[0] <= 100)",
                    )
                )

    def size(self, *dims: Dim) -> Tensor:
        """The sizes as an int64 vector, known when the engine runs where they are symbolic."""
        if not symbols(dims):
            return self.constant(list(dims), DType.INT64)
        return self.append(Size(dims=tuple(dims)), ())[0]

    def append(
        self, layer: Layer, inputs: tuple[Tensor, ...], *, name: str | None = None
    ) -> tuple[Tensor, ...]:
        """Add a layer that reads the inputs; its outputs. ``Layer.__call__`` is the usual way."""
        return self._append(layer, inputs, self._types(layer, inputs), name)

    def again(self, operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Add an operation of another network, under its name, on what stands for its inputs."""
        layer, before = operation.layer, operation.inputs
        if all(new.type == old.type for new, old in zip(inputs, before, strict=True)):
            types = tuple(x.type for x in operation.outputs)
        else:
            types = self._types(layer, inputs)
        outputs = self._append(layer, inputs, types, operation.name)
        self.operations[-1].name = operation.name
        for tensor, old in zip(outputs, operation.outputs, strict=True):
            tensor.name = old.name
        return outputs

    def _append(
        self,
        layer: Layer,
        inputs: tuple[Tensor, ...],
        types: tuple[TensorType, ...],
        name: str | None,
    ) -> tuple[Tensor, ...]:
        self.require_bounds(layer.symbols)
        prefix = f"{self._source.module}/" if self._source.module else ""
        name = self._unique(name or f"{prefix}{layer.kind}")
        known = layer.folds and not layer.symbols and not layer.decides
        constant = known and all(x.is_constant for x in inputs)
        operation = Operation(layer, inputs, name, self._source)
        operation.outputs = tuple(
            Tensor(self, t, name if len(types) == 1 else f"{name}:{i}", operation, constant)
            for i, t in enumerate(types)
        )
        self.operations.append(operation)
        return operation.outputs

    def _types(self, layer: Layer, inputs: tuple[Tensor, ...]) -> tuple[TensorType, ...]:
        """The types of a layer's outputs."""
        try:
            require_attributes(layer)
            for x in inputs:
                layer.require(x.network is self, f"{x} is of network {x.network.name!r}")
            types = layer.infer(*(x.type for x in inputs))
            several = types if isinstance(types, tuple) else (types,)
            for t in several:
                layer.require(isinstance(t, TensorType), f"infer gives {t!r:.60}, no TensorType")
        except ShapeError as error:
            shapes = ", ".join(map(repr, inputs))
            place = f"; {self._source}" if str(self._source) else ""
            at = f"{layer.kind}({shapes}){place}"
            what, _, fix = str(error).partition("\n  fix: ")
            raise type(error)(explain(what, at=at, fix=fix)) from None
        return several

    @contextmanager
    def at(self, source: Source) -> Iterator[None]:
        """Layers appended inside come from this place of the user's model."""
        before, self._source = self._source, source
        try:
            yield
        finally:
            self._source = before

    @property
    def source(self) -> Source:
        """The place of the user's model that layers come from now."""
        return self._source

    def everywhere(self) -> Iterator[Operation]:
        """The operations, and those of the networks that layers such as loops are made of."""
        for operation in self.operations:
            yield operation
            for network in operation.layer.networks.values():
                yield from network.everywhere()

    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Answer as the model does: PyTorch tensors in and out, nested as the model's own."""
        from trtdsl.reference import evaluate

        return evaluate(self, args, kwargs)

    def build(
        self, *, precision: str | None = None, **build_arguments: Unpack[BuildArguments]
    ) -> Engine:
        """The engine of this network, for the GPU of this process; arguments as of ``convert``.

        Errors: BuildError, UnavailableError without TensorRT or a GPU.
        """
        from trtdsl.build import BuildOptions, build
        from trtdsl.passes.precision import to_precision

        options = BuildOptions.of(precision, build_arguments)
        return build(to_precision(self, precision), options)

    def trees(self) -> tuple[Tree, Tree, tuple[str, ...]]:
        """How inputs and outputs are nested, and the positional parameters' names.

        A hand-written network takes its inputs by position and returns its one output, or a tuple.
        """
        if self.input_tree is not None and self.output_tree is not None:
            return self.input_tree, self.output_tree, self.parameters
        inputs = tuple(Placeholder(i) for i in range(len(self.inputs)))
        outputs = tuple(Placeholder(i) for i in range(len(self.outputs)))
        output_tree = flatten(outputs[0] if len(outputs) == 1 else outputs)[1]
        return flatten((inputs, {}))[1], output_tree, tuple(x.name for x in self.inputs)

    def _unique(self, name: str) -> str:
        self._names[name] += 1
        times = self._names[name]
        return name if times == 1 else self._unique(f"{name}_{times}")
