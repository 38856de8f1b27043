"""``differentiated``: a module that takes gradients of what it computes, as a graph that has them.

torch.export captures no backward pass. ``make_fx`` does, of a module as a function of its weights:
what an energy's forces are computed by then is operators like all others.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from sympy import Integer, Symbol
from torch import Tensor, nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch._dynamo.source import ConstantSource
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule, Interpreter
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.experimental.symbolic_shapes import DimDynamic, ShapeEnv, StatelessSymbolicContext
from torch.fx.traceback import preserve_node_meta
from torch.nn.attention import SDPBackend, sdpa_kernel

from trtdsl.errors import ConversionError, explain
from trtdsl.source import Source

if TYPE_CHECKING:
    from trtdsl.export.flat import Flat

__all__ = ["differentiated"]

_MOST_SIZES = 1 << 14
"""So many sizes a condition is tried at."""


class _Guards(list[Any]):
    """What a ShapeEnv is asked and takes for granted, and the user's lines that ask."""

    def __init__(self, guards: Sequence[Any]) -> None:
        super().__init__(guards)
        self.places = [""] * len(guards)

    def append(self, guard: Any) -> None:
        self.places.append(Source(stack="".join(traceback.format_stack())).line)
        super().append(guard)


class _Differentiated(nn.Module):
    """A graph of a module's weights and inputs, with the module's own names for the weights."""

    def __init__(self, model: nn.Module, graph: GraphModule) -> None:
        super().__init__()
        self.model = model
        self.graph = [graph]  # no submodule, whose constants would be its weights

    def forward(self, *leaves: Tensor) -> Any:
        state = {**dict(self.named_parameters()), **dict(self.named_buffers())}
        with preserve_node_meta():
            return tuple(Interpreter(self.graph[0]).run(*_flat(state), *leaves))


def differentiated(
    flat: Flat, leaves: Sequence[Tensor], specs: Sequence[Mapping[int, Any]]
) -> nn.Module:
    """The module with its backward passes written out.

    Errors: ConversionError where what it asks of sizes does not hold for all; PyTorch's own.
    """
    state = {**dict(flat.named_parameters()), **dict(flat.named_buffers())}
    tracked = [state[name].requires_grad for name in sorted(state)] + flat.tracked

    def answer(*given: Tensor) -> Any:
        pairs = zip(given, tracked, strict=True)
        values = [x.detach().requires_grad_() if t else x for x, t in pairs]
        own = dict(zip(sorted(state), values, strict=False))
        return torch.func.functional_call(flat, own, tuple(values[len(own) :]))

    sizes: Any = ShapeEnv(duck_shape=False)
    sizes.guards = _Guards(sizes.guards)
    fakes = FakeTensorMode(shape_env=sizes, allow_non_fake_inputs=True)
    values = [fakes.from_tensor(x.detach(), static_shapes=True) for x in _flat(state)]
    pairs = enumerate(zip(leaves, specs, strict=True))
    given = [_varying(fakes, i, x, spec) for i, (x, spec) in pairs]
    traced = make_fx(
        answer, decomposition_table=_backward_decompositions(), record_stack_traces=True
    )
    with torch.enable_grad(), torch._C.DisableTorchFunction(), _plain_kernels(), fakes:
        graph = traced(*values, *given)
    _require_held(sizes.guards, given, specs)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return _Differentiated(flat.model, graph)


@contextmanager
def _plain_kernels() -> Iterator[None]:
    """Without the CPU's own: nothing decomposes some backward ones, and sizes choose among them."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH), torch.backends.nnpack.flags(enabled=False):
            yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


def _varying(fakes: FakeTensorMode, index: int, x: Tensor, spec: Mapping[int, Any]) -> Tensor:
    """A fake tensor whose dynamic axes have symbols."""
    axes = [
        DimDynamic.STATIC if isinstance(spec.get(axis), int | None) else DimDynamic.DYNAMIC
        for axis in range(x.dim())
    ]
    context: Any = StatelessSymbolicContext(dynamic_sizes=axes)
    return fakes.from_tensor(x, symbolic_context=context, source=ConstantSource(f"leaf{index}"))


def _require_held(
    guards: _Guards, given: Sequence[Tensor], specs: Sequence[Mapping[int, Any]]
) -> None:
    """Refuse what was asked of sizes in Python, and taken for granted, where it does not hold."""
    dims: dict[Any, Any] = {}
    for x, spec in zip(given, specs, strict=True):
        named: list[tuple[Any, Any]] = [(x.shape[axis], dim) for axis, dim in spec.items()]
        dims.update((n.node.expr, dim) for n, dim in named if isinstance(n, torch.SymInt))
    for guard, place in zip(guards, guards.places, strict=True):
        if not _holds(guard.expr, dims):
            asked = guard.expr.xreplace({s: Symbol(_named(dim)) for s, dim in dims.items()})
            raise ConversionError(
                explain(
                    f"the model takes gradients, and asks whether {asked}, which sizes decide",
                    at=place,
                    fix="leave the size out of dynamic_shapes, or let its Dim begin or end there",
                )
            )


def _named(dim: Any) -> str:
    return str(getattr(dim, "__name__", dim))


def _holds(condition: Any, dims: Mapping[Any, Any]) -> bool:
    """Whether a condition is true of every size; of several Dims, or without bounds, it is not.

    A size of 1 takes the branch of larger ones, as it does for torch.export.
    """
    named = {s: dims.get(s) for s in condition.free_symbols}
    roots: set[Any] = {getattr(dim, "root", dim) for dim in named.values()}
    root: Any = roots.pop() if len(roots) == 1 else None
    if not hasattr(root, "max") or root.max - root.min > _MOST_SIZES:
        return False
    of = {s: getattr(dim, "fn", lambda n: n) for s, dim in named.items()}
    every = range(max(root.min, 2), root.max + 1)
    return all(condition.xreplace({s: Integer(f(n)) for s, f in of.items()}) for n in every)


def _flat(state: Mapping[str, Tensor]) -> list[Tensor]:
    return [state[name] for name in sorted(state)]


@cache
def _backward_decompositions() -> dict[Any, Any]:
    """Of backward operators, and of norms, which hand them what TensorRT's layers do not give."""
    aten = torch.ops.aten
    table: dict[Any, Any] = dict(core_aten_decompositions())
    norms = [aten.native_layer_norm, aten.native_group_norm, aten.native_batch_norm]
    return {
        **{op: form for op, form in table.items() if "backward" in str(op)},
        **get_decompositions(norms),
        aten.convolution_backward.default: _convolution_backward,
        aten.avg_pool2d_backward.default: _avg_pool_backward,
        aten.avg_pool3d_backward.default: _avg_pool_backward,
        aten._cdist_backward.default: _cdist_backward,
        aten.max_pool2d_with_indices_backward.default: _max_pool_backward,
        aten.max_pool3d_with_indices_backward.default: _max_pool_backward,
    }


def _convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
    output_mask: list[bool],
) -> Any:
    """The gradient of the input, by a convolution the other way; of weights it is left to fail."""
    if output_mask[1]:
        return NotImplemented
    left = [0] * len(stride)
    if not transposed:
        sizes = zip(
            x.shape[2:], grad.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True
        )
        left = [n - ((m - 1) * s - 2 * p + d * (k - 1) + 1) for n, m, k, s, p, d in sizes]
    of_input = torch.ops.aten.convolution(
        grad, weight, None, stride, padding, dilation, not transposed, left, groups
    )
    of_bias = grad.sum([0, *range(2, grad.dim())]) if output_mask[2] else None
    return of_input, None, of_bias


def _max_pool_backward(grad: Tensor, x: Tensor, *options: Any) -> Tensor:
    """Each gradient where the largest element was; the last option is these places."""
    spatial = -len(options[0])
    places, grads = options[-1].flatten(spatial), grad.flatten(spatial)
    return torch.zeros_like(x).flatten(spatial).scatter_add(-1, places, grads).view_as(x)


def _avg_pool_backward(
    grad: Tensor,
    x: Tensor,
    kernel_size: list[int],
    stride: list[int],
    padding: list[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Any:
    """Each gradient, shared out over its window; with windows that are cut, it is left to fail."""
    spatial = len(kernel_size)
    stride = list(stride) or kernel_size
    if ceil_mode or (any(padding) and not count_include_pad and divisor_override is None):
        return NotImplemented
    channels = x.shape[-spatial - 1]
    ones = x.new_ones([channels, 1, *kernel_size]) / (divisor_override or math.prod(kernel_size))
    sizes = zip(
        x.shape[-spatial:], grad.shape[-spatial:], kernel_size, stride, padding, strict=True
    )
    left = [n - ((m - 1) * s - 2 * p + k) for n, m, k, s, p in sizes]
    rows = grad.reshape(-1, *grad.shape[-spatial - 1 :])
    steps = [1] * spatial
    y = torch.ops.aten.convolution(rows, ones, None, stride, padding, steps, True, left, channels)
    return y.view_as(x)


def _cdist_backward(grad: Tensor, x1: Tensor, x2: Tensor, p: float, distance: Tensor) -> Any:
    """The gradient of the first points, 0 where two are one; of p of 1, 2 and infinity."""
    apart = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    if p == 1:
        slope = apart.sign()
    elif p == 2:
        slope = apart / distance.masked_fill(distance == 0, 1).unsqueeze(-1)
    elif math.isinf(p):
        slope = apart.sign() * (apart.abs() == distance.unsqueeze(-1))
    else:
        return NotImplemented
    return (grad.unsqueeze(-1) * slope).sum(-2)
