"""The reference: a network evaluated with PyTorch, layer by layer, on the CPU or on CUDA."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.errors import ConversionError, RunError
from trtdsl.manifest import TensorSpec
from trtdsl.signature import Signature
from trtdsl.types import bind

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network, Tensor
    from trtdsl.types import DType

__all__ = ["Reference", "evaluate", "fold", "run", "signature", "spec"]


def evaluate(network: Network, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Answer as the network's model does; a hand-written network takes its inputs by position."""
    leaves = signature(network).bind(args, kwargs)
    return network.trees()[1].unflatten(run(network, leaves))


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
    return TensorSpec(
        name=tensor.name, dtype=tensor.dtype, engine_dtype=engine_dtype, shape=shape
    )


def run(network: Network, leaves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The outputs for these inputs, in the networks' order."""
    import torch

    if len(leaves) != len(network.inputs):
        raise RunError(f"{network.name} takes {len(network.inputs)} inputs, and got {len(leaves)}")
    device = leaves[0].device if leaves else torch.device("cpu")
    values: dict[Tensor, torch.Tensor] = dict(zip(network.inputs, leaves, strict=True))
    sizes = _sizes(network, leaves)
    last = _last_uses(network)
    with torch.no_grad():
        for index, operation in enumerate(network.operations):
            layer = operation.layer.bind(sizes)
            inputs = [values[x] for x in operation.inputs]
            results = layer.evaluate(*inputs)
            results = results if isinstance(results, tuple) else (results,)
            for tensor, value in zip(operation.outputs, results, strict=True):
                values[tensor] = value if operation.inputs else value.to(device)
            for tensor in last.get(index, ()):
                del values[tensor]
    return [values[x] for x in network.outputs]


def fold(tensor: Tensor) -> torch.Tensor:
    """The value of a constant tensor. Errors: ConversionError when an input reaches it."""
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
                values.update(zip(operation.outputs, results, strict=True))
                stack.pop()
    return values[tensor]


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


def _sizes(network: Network, leaves: Sequence[torch.Tensor]) -> dict[str, int]:
    """The value of every symbolic size, from the shapes of the inputs."""
    import sympy

    sizes: dict[str, int] = {}
    derived = []
    for tensor, leaf in zip(network.inputs, leaves, strict=True):
        for dim, size in zip(tensor.shape, leaf.shape, strict=True):
            if isinstance(dim, int):
                continue
            if dim.is_Symbol:
                sizes.setdefault(dim.name, size)
            else:
                derived.append((dim, size))
    for dim, size in derived:
        unknown = [s for s in dim.free_symbols if s.name not in sizes]
        if len(unknown) == 1:
            known = {s: sizes[s.name] for s in dim.free_symbols if s.name in sizes}
            (solution,) = sympy.solve(dim.subs(known) - size, unknown[0])
            sizes[unknown[0].name] = int(solution)
        elif bind(dim, sizes) != size:
            raise RunError(f"a size is {size} where {dim} is {bind(dim, sizes)}")
    return sizes


class Reference:
    """A network as a callable that answers as the model does, evaluated with PyTorch.

    Takes CPU tensors, or CUDA tensors and then computes there; checks inputs as an engine does.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._signature = signature(network)
        self._output_tree = network.trees()[1]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves = self._signature.bind(args, kwargs)
        self._signature.check(leaves)
        return self._output_tree.unflatten(run(self.network, leaves))

    def __repr__(self) -> str:
        return f"Reference({self.network.name})"
