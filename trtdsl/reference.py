"""The reference: a network evaluated with PyTorch, layer by layer, on the CPU or on CUDA."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ConversionError, RunError, ShapeError, UnavailableError, explain
from trtdsl.ir.constant import Constant
from trtdsl.ir.plugin import Plugin
from trtdsl.manifest import TensorSpec
from trtdsl.signature import Signature, check_device, kind_of
from trtdsl.types import DType, TensorType, bind, symbols

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network, Operation, Tensor

__all__ = [
    "Reference",
    "as_numpy",
    "evaluate",
    "fold",
    "from_numpy",
    "run",
    "settle",
    "signature",
    "spec",
]


def evaluate(network: Network, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Answer as the network's model does; a hand-written network takes its inputs by position."""
    reference = Reference(network)
    leaves = reference.signature.bind(args, kwargs)
    return reference.answer([x.contiguous() if hasattr(x, "contiguous") else x for x in leaves])


def signature(network: Network) -> Signature:
    """What a call of the network must look like."""
    inputs = tuple(spec(x, x.dtype) for x in network.inputs)
    input_tree, _, parameters = network.trees()
    return Signature(
        inputs=inputs, input_tree=input_tree, parameters=parameters, symbols=network.symbols
    )


def spec(tensor: Tensor, engine_dtype: DType) -> TensorSpec:
    """An input or output as a manifest writes it."""
    shape = tuple(d if isinstance(d, int) else str(d) for d in tensor.shape)
    return TensorSpec(name=tensor.name, dtype=tensor.dtype, engine_dtype=engine_dtype, shape=shape)


def run(
    network: Network,
    leaves: Sequence[torch.Tensor],
    sizes: Mapping[str, int] | None = None,
    *,
    observe: Callable[[Tensor, torch.Tensor], None] = lambda *_: None,
) -> list[torch.Tensor]:
    """The outputs for these inputs, in the network's order; ``sizes`` of symbols if checked before.

    An output is contiguous and has its own memory, as an engine's has. ``observe`` is shown every
    value, those of inputs and constants included.
    """
    import torch

    sizes = dict(signature(network).check(leaves) if sizes is None else sizes)
    numbers: dict[Tensor, list[str]] = {}  # equal ones are computed once
    for name, tensor in network.numbers.items():
        numbers.setdefault(tensor, []).append(name)
    device = leaves[0].device if leaves else torch.device("cpu")
    values: dict[Tensor, torch.Tensor] = dict(zip(network.inputs, leaves, strict=True))
    last = _last_uses(network)
    with torch.no_grad():
        for tensor, value in values.items():
            observe(tensor, value)
        for index, operation in enumerate(network.operations):
            layer = operation.layer.bind(sizes)
            inputs = [values[x] for x in operation.inputs]
            if isinstance(layer, Plugin):
                results = _of_plugin(layer, operation, inputs, sizes)
            else:
                results = layer.evaluate(*inputs)
            results = results if isinstance(results, tuple) else (results,)
            for tensor, value in zip(operation.outputs, results, strict=True):
                values[tensor] = value if operation.inputs else value.to(device)
                observe(tensor, values[tensor])
                for name in numbers.get(tensor, ()):
                    sizes[name] = _within(network, name, int(value))
            for tensor in last.get(index, ()):
                del values[tensor]
        own = torch.contiguous_format
        return [values[x].clone(memory_format=own) for x in network.outputs]


def _of_plugin(
    layer: Plugin, operation: Operation, inputs: Sequence[torch.Tensor], sizes: Mapping[str, int]
) -> Any:
    """What a plugin computes, held against what it infers. Errors: ShapeError."""
    versions = [x._version for x in inputs if not x.is_inference()]
    results = layer.evaluate(*inputs)
    at = f"{operation.name}; {operation.source}".removesuffix("; ")
    if [x._version for x in inputs if not x.is_inference()] != versions:
        what = f"plugin {type(layer).__qualname__}: evaluate writes to its inputs, which other "
        fix = "write to a copy: x.clone()"
        raise ShapeError(explain(f"{what}layers may read", at=at, fix=fix))
    several = results if isinstance(results, tuple) else (results,)
    found = [_type(x) for x in several]
    outputs = zip(operation.outputs, [*several, *[None] * len(operation.outputs)], strict=False)
    inferred = [_inferred(y.type, x, sizes) for y, x in outputs]
    if found != inferred:
        raise ShapeError(
            explain(
                f"plugin {type(layer).__qualname__}: evaluate gives {', '.join(found)}, and infer "
                + ", ".join(inferred),
                at=at,
                fix="correct one of the two: an engine has what infer says",
            )
        )
    return results


def _inferred(inferred: TensorType, found: Any, sizes: Mapping[str, int]) -> str:
    """A type at the sizes of this call; a size that only values decide is what was found."""
    shape = list(getattr(found, "shape", ()))
    shape += inferred.shape[len(shape) :]
    known = [not symbols([d]) - sizes.keys() for d in inferred.shape]
    dims = zip(inferred.shape, shape, known, strict=False)
    return str(inferred.with_shape([bind(d, sizes) if k else n for d, n, k in dims]))


def _type(x: Any) -> str:
    if not hasattr(x, "data_ptr"):
        return f"a {type(x).__qualname__}"
    try:
        return str(TensorType(DType.of(x.dtype), tuple(x.shape)))
    except ValueError:
        return f"{x.dtype}{list(x.shape)}"


def _within(network: Network, name: str, size: int) -> int:
    """A number that values decided. Errors: RunError where it is none that the model promised."""
    range_ = network.symbols.get(name)
    if range_ and not range_.min <= size <= range_.max:
        raise RunError(
            explain(
                f"{network.numbers[name]} is {size}, and the model checks that it is "
                f"{range_.min} to {range_.max}",
                fix="widen torch._check in the model, or give other inputs",
            )
        )
    return size


def fold(tensor: Tensor) -> torch.Tensor:
    """The value of a constant tensor, computed on the CPU, wherever the model's weights live.

    Errors: ConversionError when an input of the network reaches it.
    """
    import torch

    if not tensor.is_constant:
        raise ConversionError(f"{tensor} depends on an input of the network: it is no constant")
    values: dict[Tensor, torch.Tensor] = {}
    stack = [tensor]
    with torch.no_grad():
        while stack:
            operation = stack[-1].producer
            assert operation is not None
            missing = [x for x in operation.inputs if x not in values]
            stack += missing
            if not missing:
                results = operation.layer.evaluate(*(values[x] for x in operation.inputs))
                results = results if isinstance(results, tuple) else (results,)
                values.update(
                    (x, value if operation.inputs else value.cpu())
                    for x, value in zip(operation.outputs, results, strict=True)
                )
                stack.pop()
    return values[tensor]


def settle(tensor: Tensor) -> None:
    """Note that a constant's value decided which layers there are: no refit can change it then."""
    for operation in tensor.ancestry():
        if isinstance(operation.layer, Constant) and operation.layer.weights.name is not None:
            tensor.network.settled[operation.layer.weights.name] = operation.layer.weights


def _last_uses(network: Network) -> dict[int, list[Tensor]]:
    """By the index of an operation, the tensors that nothing reads after it."""
    last: dict[Tensor, int] = {}
    for index, operation in enumerate(network.operations):
        last.update(dict.fromkeys((*operation.outputs, *operation.inputs), index))
    uses: dict[int, list[Tensor]] = {}
    for tensor, index in last.items():
        if tensor not in network.outputs:
            uses.setdefault(index, []).append(tensor)
    return uses


def from_numpy(x: Any) -> torch.Tensor:
    """A numpy array as a tensor that shares its memory; ml_dtypes' bfloat16 as PyTorch's."""
    import numpy as np
    import torch

    if str(x.dtype) != "bfloat16":
        return torch.from_numpy(x)
    return torch.from_numpy(x.view(np.int16)).view(torch.bfloat16)


def as_numpy(x: torch.Tensor, name: str) -> Any:
    """A CPU tensor as a numpy array; bfloat16 as ml_dtypes', named in the error without it."""
    import torch

    from trtdsl.runtime.numbers import numpy_dtype

    if x.dtype is not torch.bfloat16:
        return x.numpy()
    return x.view(torch.int16).numpy().view(numpy_dtype(DType.BFLOAT16, name))


_OF_ENGINES = frozenset(
    {
        *("device_memory", "empty_outputs", "graphs", "inspect", "manifest", "memory"),
        *("num_layers", "on", "plan", "profile", "refit", "remember", "replicate"),
        *("run_async", "run_into", "save", "share_workspace"),
    }
)


class _OnlyEngines(UnavailableError, AttributeError):
    """Something that an engine can do, and PyTorch in its place cannot."""


class Reference:
    """A network as a callable that answers as the model does, evaluated with PyTorch.

    Takes CPU tensors, CUDA tensors and then computes there, or numpy arrays and then answers with
    such. Checks inputs as an engine does.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self.signature = signature(network)
        self._output_tree = network.trees()[1]

    def __getattr__(self, name: str) -> Any:
        if name in _OF_ENGINES:
            raise self._only_engines(name)
        raise AttributeError(f"'Reference' object has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OF_ENGINES:
            raise self._only_engines(name)
        super().__setattr__(name, value)

    def _only_engines(self, name: str) -> _OnlyEngines:
        return _OnlyEngines(
            explain(
                f"{self} is evaluated by PyTorch, and only an engine has {name}",
                fix='backend="tensorrt", where a GPU and TensorRT are; see `trtdsl doctor`',
            )
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.answer(self.signature.bind(args, kwargs))

    def answer(self, leaves: Sequence[Any]) -> Any:
        """The model's answer for its input tensors in a flat list. Errors: RunError."""
        sizes = self.signature.check(leaves)
        if kind_of(leaves) == "torch":
            device = str(leaves[0].device) if leaves else "cpu"
            check_device(self.signature.inputs, leaves, device if device != "meta" else "cpu")
            return self._output_tree.unflatten(run(self.network, leaves, sizes))
        outputs = run(self.network, [from_numpy(x) for x in leaves], sizes)
        pairs = zip(outputs, self.network.outputs, strict=True)
        return self._output_tree.unflatten([as_numpy(x, y.name) for x, y in pairs])

    def __repr__(self) -> str:
        return f"Reference({self.network.name})"
