"""Lowering: ``Network`` -> ``INetworkDefinition``.

Names the layers after the user's modules, and holds the shape and dtype that TensorRT infers for
every tensor against ours.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from trtdsl.errors import BuildError, explain
from trtdsl.held import PrecisionWarning
from trtdsl.ir.elementwise import ElementWise
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.ir.select import Select
from trtdsl.network import Network, Operation, Tensor
from trtdsl.sizes import lower_size, read_size
from trtdsl.tensorrt_api import Api, Folded, dtype_of
from trtdsl.types import DType

__all__ = ["lower", "lower_inside"]

_METADATA = 4095
"""Bytes, "at most 4096 bytes including the terminator". Source: ILayer::setMetadata."""


def lower(network: Network, api: Api, *, infers: bool = True) -> None:
    """Write a network into TensorRT's.

    ``api`` holds the weights' memory, and so must live until the build ends. ``infers`` says that
    what is behind it infers shapes and dtypes, which a mere stand-in for a release does not.
    Errors: BuildError when TensorRT refuses a layer, or infers another shape or dtype than trtdsl.
    """
    values: dict[Tensor, Any] = {}
    for x in network.inputs:
        values[x] = api.network.add_input(x.name, api.dtype(x.dtype), api.dims(x.shape))
        if values[x] is None:
            raise BuildError(f"TensorRT refused input {x}")
    _declare_symbols(network, values, api)
    lowering = _Lowering(api, values, half=_has_half(network), infers=infers)
    api.imposes_types, api.infers = lowering.typed, infers
    for operation in network.operations:
        lowering.add(operation)
    api.forget_errors()
    for x in network.outputs:
        output = lowering.output(x)
        output.name = x.name
        api.network.mark_output(output)
        if lowering.typed:
            output.dtype = api.dtype(x.dtype)
    api.raise_errors()


def lower_inside(network: Network, api: Api, inputs: Sequence[Any]) -> list[Any]:
    """Write a network that a layer consists of, for ITensors of its inputs; those of its outputs.

    Errors: as of ``lower``.
    """
    values = dict(zip(network.inputs, inputs, strict=True))
    around = api.operation
    prefix = f"{around.name}/" if around is not None else ""
    lowering = _Lowering(api, values, half=api.imposes_types, infers=api.infers, prefix=prefix)
    for operation in network.operations:
        lowering.add(operation)
    api.operation = around
    return [lowering.output(x) for x in network.outputs]


def _in_int8(operation: Operation) -> bool:
    """Whether TensorRT may compute it in int8: the operation's float operands are quantized."""
    made = [x.producer for x in operation.inputs if x.producer is not None]
    return any(isinstance(op.layer, FakeQuantize) for op in made)


def _has_half(network: Network) -> bool:
    halves = (DType.FLOAT16, DType.BFLOAT16)
    return any(x.dtype in halves for op in network.everywhere() for x in (*op.inputs, *op.outputs))


def _declare_symbols(network: Network, values: dict[Tensor, Any], api: Api) -> None:
    """Tell the api where to read each symbolic size: a size of an input, or a function of one."""
    import sympy

    api.ranges = network.symbols
    places = [(d, x, axis) for x in network.inputs for axis, d in enumerate(x.shape)]
    for dim, x, axis in sorted(places, key=lambda p: not getattr(p[0], "is_Symbol", False)):
        for symbol in [] if isinstance(dim, int) else dim.free_symbols:
            if symbol.name in api.symbols or len(dim.free_symbols) > 1:
                continue
            measured = sympy.Symbol(f"{x.name}[{axis}]", integer=True, positive=True)
            api.symbols[measured.name] = lambda x=x, axis=axis: read_size(api, values[x], axis)  # type: ignore[misc]
            (solution,) = sympy.solve(dim - measured, symbol)
            api.symbols[symbol.name] = lambda solution=solution: lower_size(api, solution)  # type: ignore[misc]


class _Lowering:
    """What has been lowered so far."""

    def __init__(
        self,
        api: Api,
        values: dict[Tensor, Any],
        *,
        half: bool,
        infers: bool,
        prefix: str = "",
    ) -> None:
        self.api = api
        self.prefix = prefix
        self.infers = infers
        self.values = values
        self.folded: dict[Tensor, Folded] = {}
        self.typed = half and not api.strongly_typed

    def add(self, operation: Operation) -> None:
        """Lower one operation; one that no input reaches is folded where it is read."""
        if all(x.is_constant for x in operation.outputs):
            return
        name = operation.name
        before = len(self.api.created)
        try:
            self.api.forget_errors()
            self.api.operation = operation
            operands = [self.operand(operation, i) for i in range(len(operation.inputs))]
            given = [x.type.with_dtype(self.api.physical(x.dtype)) for x in operation.inputs]
            if operation.layer.available(self.api) and operation.layer.takes(*given):
                outputs = _outputs(operation, operation.layer.lower(self.api, *operands))
            else:
                outputs = self.expanded(operation, name)
                before = len(self.api.created)
            self.api.raise_errors()
        except BuildError as error:
            if "\n  at:  " in str(error):
                raise
            raise BuildError(explain(f"{name}: {error}", at=str(operation.source))) from error
        created = [x for x in self.api.created[before:] if id(x) not in self.api.labelled]
        self.label(operation, name, created)
        for x, value in zip(operation.outputs, outputs, strict=True):
            self.values[x] = value
            self.compare(operation, x, value)

    def operand(self, operation: Operation, index: int) -> Any:
        x = operation.inputs[index]
        if not x.is_constant:
            return self.values[x]
        folded = self.folded.setdefault(x, Folded(self.api, x))
        if index in operation.layer.weight_operands:
            return folded
        spread = self.spread(operation, x, folded)
        return folded.itensor() if spread is None else spread

    def spread(self, operation: Operation, x: Tensor, folded: Folded) -> Any:
        """An infinite constant in the size that it broadcasts to, where this release wants that."""
        y = operation.outputs[0].type
        elementwise = isinstance(operation.layer, ElementWise | Select)
        if not self.api.bounds_infinity or not elementwise or not x.dtype.is_float:
            return None
        if x.shape == y.shape or not folded.tensor.isinf().any():
            return None
        if y.is_static:
            return self.api.constant(folded.tensor.expand(y.shape))
        warnings.warn(
            f"{operation.name}: this TensorRT reads an infinite constant as 1e38 where sizes are "
            f"dynamic ({operation.source})",
            PrecisionWarning,
            stacklevel=2,
        )
        return None

    def expanded(self, operation: Operation, name: str) -> list[Any]:
        """A layer that this release lacks, in layers that it has."""
        net = Network(operation.name, symbols=operation.outputs[0].network.symbols)
        inputs = []
        for i, x in enumerate(operation.inputs):
            own = Tensor(net, x.type, x.name, is_constant=x.is_constant)
            if x.is_constant:
                own = net.constant(self.folded.setdefault(x, Folded(self.api, x)).tensor)
                self.api.origins[own] = x
            else:
                self.values[own] = self.values[operation.inputs[i]]
            inputs.append(own)
        with net.at(operation.source):
            result = operation.layer.expand(*inputs)
        for i, inner in enumerate(net.operations):
            inner.name = f"{name}/{inner.layer.kind}.{i}"
            self.add(inner)
        outputs = result if isinstance(result, tuple) else (result,)
        return [self.output(x) for x in outputs]

    def output(self, x: Tensor) -> Any:
        """The ITensor of a value; one of its own for a value that no input reaches."""
        if not x.is_constant:
            return self.values[x]
        constant = self.folded.setdefault(x, Folded(self.api, x)).itensor()
        return self.api.add_identity(constant).get_output(0)

    def label(self, operation: Operation, name: str, created: Sequence[Any]) -> None:
        """Name the TensorRT layers after the module, and on 8.6 impose our types on them."""
        self.api.labelled.update(map(id, created))
        for i, layer in enumerate(created):
            last = i == len(created) - 1
            self.api.name(layer, self.prefix + (name if last else f"{name}.{i}"))
            layer.metadata = _metadata(str(operation.source))
            if self.typed:
                self.impose(operation, layer)

    def impose(self, operation: Operation, layer: Any) -> None:
        """Precision and output types of a layer, for a network that is not strongly typed.

        Told to compute in float32, a layer amid float16 ones has no implementation in TensorRT 8.6
        (seen for normalizations and reductions); told to give float32, it has.
        """
        floats = [x.dtype for x in (*operation.outputs, *operation.inputs) if x.dtype.is_float]
        trt = self.api.trt
        kinds = trt.LayerType
        apart = (kinds.CAST, kinds.SHAPE, kinds.CONSTANT, kinds.QUANTIZE, kinds.DEQUANTIZE)
        own = layer.precision_is_set  # what a layer's lowering says of its parts
        if not floats or not self.infers or own or layer.type in apart or _in_int8(operation):
            return
        wanted = self.api.dtype(floats[0])
        floating = (trt.DataType.FLOAT, trt.DataType.HALF)
        reads = [x for i in range(layer.num_inputs) if (x := layer.get_input(i)) is not None]
        gives = [i for i in range(layer.num_outputs) if layer.get_output(i).dtype in floating]
        for i in gives:
            layer.set_output_type(i, wanted)
        if wanted == trt.DataType.HALF and (gives or any(x.dtype in floating for x in reads)):
            layer.precision = wanted

    def compare(self, operation: Operation, x: Tensor, value: Any) -> None:
        """Hold TensorRT's shape and dtype against ours; -1 is a size that TensorRT leaves open."""
        if not self.infers:
            return
        shape, dtype = self.shape(operation, value), dtype_of(value.dtype)
        sizes = len(shape) == x.rank and all(
            theirs == -1 or theirs == ours for theirs, ours in zip(shape, x.shape, strict=True)
        )
        if not sizes or not self.same(dtype, self.api.physical(x.dtype)):
            raise BuildError(
                explain(
                    f"{operation.name}: TensorRT infers {dtype.short}{list(shape)} "
                    f"where trtdsl infers {x.type}",
                    at=str(operation.source),
                    fix="this is a defect of trtdsl's layer; please report it with this message",
                )
            )

    def shape(self, operation: Operation, value: Any) -> tuple[int, ...]:
        """The shape that TensorRT infers. Errors: BuildError when it can infer none."""
        try:
            return tuple(value.shape)
        except ValueError:  # TensorRT's sign of a contradiction: a rank of -1
            said = "; ".join(self.api.errors()) or "no reason was logged"
            raise BuildError(
                explain(
                    f"{operation.name}: TensorRT infers no shape: {said}", at=str(operation.source)
                )
            ) from None

    def same(self, theirs: DType, ours: DType) -> bool:
        """Whether the dtypes agree; a network that is not strongly typed calls any float FLOAT."""
        undecided = not self.api.strongly_typed and theirs is DType.FLOAT32
        return theirs is ours or (undecided and ours is DType.FLOAT16)


def _outputs(operation: Operation, result: Any) -> list[Any]:
    """The ITensors of what ``Layer.lower`` gave."""
    if isinstance(result, tuple):
        return list(result)
    if hasattr(result, "get_output"):
        return [result.get_output(i) for i in range(len(operation.outputs))]
    return [result]


def _metadata(text: str) -> str:
    """Without what TensorRT 8.6 leaves as it is in its inspector's JSON; as long as it may be."""
    plain = text.replace('"', "'").replace("\\", "/")
    return plain.encode()[:_METADATA].decode(errors="ignore")
