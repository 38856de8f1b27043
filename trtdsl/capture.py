"""Capture: ``nn.Module`` -> ATen graph, weights by ``state_dict`` name, input and output trees.

The module is exported behind a wrapper that takes and returns flat tensors, so that its own inputs
and outputs may be any nesting of containers without registering their classes with PyTorch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy, deepcopy
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import compress
from threading import RLock
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind
from torch.fx import GraphModule, Node

from trtdsl.errors import ConversionError, TrtdslError, explain
from trtdsl.export import dynamic, missing_shapes
from trtdsl.export.admission import refuse_weight
from trtdsl.export.attempts import exported
from trtdsl.export.branches import Asked, asked
from trtdsl.export.constants import Constants
from trtdsl.export.doubles import without_doubles
from trtdsl.export.drawn import draw_nothing
from trtdsl.export.dynamic import Bounds
from trtdsl.export.effects import asserts_bools, drop_checks, without_tokens
from trtdsl.export.flat import Flat, input_names
from trtdsl.export.history import refuse_history
from trtdsl.export.inplace import (
    drop_identities,
    has_inplace,
    hides_views,
    rewrite_inplace,
    select_unbound,
)
from trtdsl.export.lengths import symbolic_lengths
from trtdsl.export.library_forms import exportable
from trtdsl.export.paths import Trace, hold
from trtdsl.export.quantized_forms import pair_quantizers
from trtdsl.export.refusal import asks_for_values, quiet, refusal, works
from trtdsl.export.scalars import known_scalars
from trtdsl.export.snapshot import restored
from trtdsl.export.storage import read_storage
from trtdsl.export.symbolic_numbers import symbolic_numbers
from trtdsl.export.unchecked import UncheckedWarning
from trtdsl.export.whole import whole
from trtdsl.module_plugins import kept_whole
from trtdsl.parts.regions import inline_regions
from trtdsl.tree import Placeholder, Tree, flatten
from trtdsl.types import DimRange
from trtdsl.weights.state import StateKey

__all__ = ["Captured", "capture"]

_ALONE = RLock()
"""torch.export traces one model at a time, and so do the changes to PyTorch that it needs here."""
_PASS_ON = "return the new value as an output, and pass the old one as an input"
_WRITTEN = re.compile(r"Constant (\S+) is mutated in the forward method")


@dataclass(frozen=True, kw_only=True)
class Captured:
    """An exported graph, and what its placeholders are."""

    module: GraphModule
    inputs: tuple[tuple[Node, str], ...]
    """The placeholders of the model's inputs, and the names of the inputs."""
    weights: Mapping[Node, tuple[torch.Tensor, str]]
    """The placeholders of parameters, buffers and constants; tied ones share one name."""
    state: Mapping[str, StateKey]
    """The keys of the model's ``state_dict``."""
    outputs: tuple[Node, ...]
    symbols: Mapping[str, DimRange]
    names: Mapping[Any, str]
    """PyTorch's symbols, and what the user calls them."""
    input_tree: Tree
    output_tree: Tree
    parameters: tuple[str, ...]
    bounds: Mapping[Any, Bounds]
    """The least and greatest value of PyTorch's symbols that values decide, as far as known."""
    prefix: str
    """What stands before the user's own names in module paths."""
    promised: frozenset[Any] = frozenset()
    """The conditions that the model itself asserts, of PyTorch's symbols."""
    settled: Mapping[str, torch.Tensor] = field(default_factory=dict)
    """The weights, by name, that were computed with already: a refit cannot change them."""


def capture(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    dynamic_shapes: Any = None,
    opt: Mapping[str, int] | None = None,
    keep: Callable[[Any], bool] = lambda operator: True,
) -> Captured:
    """Export a module; operators for which ``keep`` is false are decomposed where PyTorch can.

    Errors: ConversionError when the module is in training mode, torch.export refuses it, or it
    updates inputs or buffers in place.
    """
    if opt is not None and not isinstance(opt, Mapping):
        raise ConversionError(explain(f"opt is {opt!r}", fix='name the sizes: opt={"batch": 8}'))
    with _ALONE:
        return _captured(model, args, kwargs or {}, dynamic_shapes, opt or {}, keep)


def _captured(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    opt: Mapping[str, int],
    keep: Callable[[Any], bool],
) -> Captured:
    with kept_whole(model), asked() as conditions:
        program, flat = _exported(model, args, kwargs, dynamic_shapes, conditions)
        taken, program = _user_inputs(program), _functional(program, keep)
    nodes = _user_inputs(program)
    _refuse_state(program, nodes, flat)
    input_tree, output_tree = (flat.input_tree, flat.output_tree) if flat else _trees(program)
    parameters = flat.parameter_names if flat else _argument_names(program)
    names = flat.input_names if flat else input_names(input_tree, parameters)
    wanted = dynamic.dims(flat.specs(dynamic_shapes)) if flat else {}
    leaves = flat.leaves if flat else None
    symbols, renamed = dynamic.ranges(program, nodes, wanted, opt, leaves, names)
    trace = Trace(taken, program.graph, renamed, conditions if flat else None)
    hold(trace, symbols, flat and partial(_again, flat, dynamic_shapes, keep))
    prefix = "model." if flat else ""
    weights = without_doubles(program.graph_module, _weights(program, prefix))
    return Captured(
        module=program.graph_module,
        inputs=tuple(zip(nodes, names, strict=True)),
        weights=weights,
        state=_state(program, prefix, weights),
        outputs=_outputs(program, type(model).__name__),
        symbols=symbols,
        names=renamed,
        input_tree=input_tree,
        output_tree=output_tree,
        parameters=parameters,
        prefix="model" if flat else "",
        promised=frozenset(conditions.by_model) - conditions.told,
        bounds=dynamic.bounds(program),
        settled=_settled(flat, weights) if flat else {},
    )


def _again(
    flat: Flat, dynamic_shapes: Any, keep: Callable[[Any], bool], sizes: Mapping[str, int]
) -> Trace | None:
    """The model exported for an example of these sizes; None where that cannot be."""
    specs = flat.specs(dynamic_shapes)
    example = copy(flat)
    example.leaves = list(dynamic.resized(flat.leaves, specs, sizes))
    example.result = copy(flat.result)
    try:
        with kept_whole(flat.model), asked() as conditions:
            program = _export(example, dynamic_shapes, conditions)
            taken, program = _user_inputs(program), _functional(program, keep)
        nodes = _user_inputs(program)
        wanted, inputs = dynamic.dims(specs), flat.input_names
        names = dynamic.ranges(program, nodes, wanted, {}, example.leaves, inputs)[1]
    except TrtdslError:
        return None
    return Trace(taken, program.graph, names, conditions)


def _exported(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    dynamic_shapes: Any,
    conditions: Asked,
) -> tuple[ExportedProgram, Flat | None]:
    if not isinstance(model, ExportedProgram):
        flat = Flat(model, tuple(args), dict(kwargs))
        return _export(flat, dynamic_shapes, conditions), flat
    if dynamic_shapes:
        raise ConversionError(
            explain(
                "dynamic_shapes belong to torch.export.export; this is its result",
                fix="give them to torch.export.export(..., dynamic_shapes=...)",
            )
        )
    # The graph is rewritten, and the caller's must stay as it is.
    program = copy(model)
    program._graph_module = deepcopy(model.graph_module)
    return program, None


def _export(flat: Flat, dynamic_shapes: Any, conditions: Asked) -> ExportedProgram:
    specs = flat.specs(dynamic_shapes)
    missing_shapes.registered()
    leaves = dynamic.widened(flat.leaves, specs)

    def attempt(constants: Constants | None = None) -> ExportedProgram:
        with _traceable(flat.model, constants):
            return exported(flat, leaves, specs, conditions)

    with torch.no_grad(), _as_made(flat.model), quiet():
        try:
            return attempt()
        except TrtdslError:
            raise
        except Exception as error:
            asks = asks_for_values(error) and works(flat)
            answered = _answered(attempt, flat) if asks else None
            if isinstance(answered, ExportedProgram):
                return answered
            left = answered if answered and asks_for_values(answered) else error
            raise refusal(left, flat, conditions) from error


def _answered(
    attempt: Callable[[Constants], ExportedProgram], flat: Flat
) -> ExportedProgram | Exception:
    """The module exported with answers to what it asks of its state, and demands of inputs."""
    constants = Constants(flat.model)
    try:
        with symbolic_numbers(flat.model):
            program = attempt(constants)
    except UncheckedWarning:  # which someone has made an error of
        raise
    except Exception as error:
        return error
    flat.settled = constants.settled
    return program


@contextmanager
def _traceable(model: nn.Module, constants: Constants | None) -> Iterator[None]:
    """Have the model, and what it calls, in the form that torch.export can capture."""
    kept = whole(constants)
    with restored(model), kept, exportable(), symbolic_lengths(model), known_scalars(model):
        yield


def _as_made(model: nn.Module) -> AbstractContextManager[Any]:
    """What weights that were made in inference mode need, to be looked at by torch.export."""
    weights = (*model.parameters(), *model.buffers())
    return torch.inference_mode() if any(x.is_inference() for x in weights) else nullcontext()


def _functional(program: ExportedProgram, keep: Callable[[Any], bool]) -> ExportedProgram:
    """A graph whose operators write to no argument and, where PyTorch can decompose, are kept."""
    modules = [m for m in program.graph_module.modules() if isinstance(m, GraphModule)]
    graphs = [m.graph for m in modules]
    for module in modules:
        if drop_identities(module.graph) | asserts_bools(module.graph):
            module.recompile()
        if has_inplace(module.graph):
            select_unbound(module.graph)
            module.recompile()
    simple = all(rewrite_inplace(g) for g in graphs if has_inplace(g))
    targets = {n.target for g in graphs for n in g.nodes if _is_operator(n)}
    traced = any(_needs_tracing(n) for g in graphs for n in g.nodes)
    if not simple or traced or not all(keep(t) for t in targets):
        table = torch.export.default_decompositions()
        for operator in [o for o in table if keep(o) and (simple or not hides_views(o))]:
            del table[operator]
        inline_regions(program.graph_module)  # PyTorch would lose the lines of what is in them
        with warnings.catch_warnings():
            # PyTorch copies a deprecated class of its own.
            warnings.filterwarnings("ignore", ".*treespec, LeafSpec", FutureWarning)
            program = _decomposed(program, table)
    for module in program.graph_module.modules():
        if isinstance(module, GraphModule):
            pair_quantizers(module.graph)
            read_storage(module.graph)
            draw_nothing(module.graph)
            drop_checks(module.graph)
    return _without_scratch(program)


def _decomposed(program: ExportedProgram, table: Any) -> ExportedProgram:
    try:
        decomposed: ExportedProgram = program.run_decompositions(table)
        return decomposed
    except Exception as error:
        if written := _WRITTEN.search(str(error)):
            raise _keeps_state(_constant(written[1])) from error
        raise ConversionError(
            explain(
                f"PyTorch cannot decompose the exported graph: {type(error).__name__}: {error}",
                fix="make program.run_decompositions() work, or register converters for what "
                "trtdsl.check lists",
            )
        ) from error


def _refuse_state(program: ExportedProgram, nodes: Sequence[Node], flat: Flat | None) -> None:
    signature = program.graph_signature
    # PyTorch 2.8 and before know of no updated parameters.
    parameters = getattr(signature, "parameters_to_mutate", {})
    state = {**parameters, **signature.buffers_to_mutate}
    mutated = {**state, **signature.user_inputs_to_mutate}
    if mutated:
        names = flat.input_names if flat else [n.name for n in nodes]
        named = {node.name: name for node, name in zip(nodes, names, strict=True)}
        own = sorted(named.get(v, v.removeprefix("model.")) for v in mutated.values())
        fix = _PASS_ON
        if parameters:
            fix = "call the model once before: it may change its weights in its first call only"
        if any(name.endswith("num_batches_tracked") for name in own):
            fix = "call model.eval() before torch.export.export"
        raise _keeps_state(", ".join(own), fix)
    if flat:
        refuse_history(flat.model, flat.history, flat.called, flat.leaves)


def _without_scratch(program: ExportedProgram) -> ExportedProgram:
    """A program that gives no new values of buffers that are scratch.

    These no ``state_dict`` has, and their values of before the call are not read: a call leaves
    nothing in them that another one sees. (Updates of what has another name PyTorch refuses.)
    """
    signature, graph = program.graph_signature, program.graph
    unread = {node.name for node in graph.nodes if node.op == "placeholder" and not node.users}
    own = set(signature.non_persistent_buffers)
    scratch = {v for k, v in signature.inputs_to_buffers.items() if k in unread and v in own}
    updates = [
        spec.kind is OutputKind.BUFFER_MUTATION and spec.target in scratch
        for spec in signature.output_specs
    ]
    if any(updates):
        kept = [not update for update in updates]
        output: Any = graph.output_node()
        output.args = (tuple(compress(output.args[0], kept)),)
        specs = list(compress(signature.output_specs, kept))
        program._graph_signature = replace(signature, output_specs=specs)
        program.graph_module.recompile()
    return program


def _constant(name: str) -> str:
    """What torch.export calls a tensor that is no parameter and no buffer, in the user's words."""
    module, _, plain = name.removeprefix("model.").rpartition(".")
    if not plain.startswith("lifted_tensor"):
        return name.removeprefix("model.")
    return f"a tensor of {module} that is no buffer" if module else "a tensor that is no buffer"


def _keeps_state(what: str, fix: str = _PASS_ON) -> ConversionError:
    what = f"the model updates {what} in place, and an engine keeps no state between calls"
    return ConversionError(explain(what, fix=fix))


def _is_operator(node: Node) -> bool:
    """Whether a node computes tensors; arithmetic on sizes needs no converter."""
    symbolic = isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)
    operator = isinstance(node.target, torch._ops.OpOverload)
    return node.op == "call_function" and operator and not symbolic


def _needs_tracing(node: Node) -> bool:
    """Whether only tracing a node anew tells what it computes: ``torch.vmap``, autocast's casts."""
    if str(node.target) == "wrap_with_autocast":
        enabled: Any = node.args[2]
        return bool(enabled)
    return getattr(node.target, "__module__", "") == "torch._functorch.predispatch"


def _argument_names(program: ExportedProgram) -> tuple[str, ...]:
    """The names of an ExportedProgram's positional arguments."""
    signature = program.module_call_graph[0].signature
    names = (signature and signature.forward_arg_names) or ()
    return tuple(names[: len(program.call_spec.in_spec.child(0).children())])


def _trees(program: ExportedProgram) -> tuple[Tree, Tree]:
    """The trees of an ExportedProgram, in our own terms."""
    from torch.utils import _pytree as pytree

    def tree(values: list[Any], spec: Any) -> Tree:
        count = iter(range(len(values)))
        marked = [Placeholder(next(count)) if isinstance(v, Node) else v for v in values]
        return flatten(pytree.tree_unflatten(marked, spec))[1]

    spec = program.call_spec
    inputs = _user_values(program, program.graph_signature.input_specs)
    outputs = _output_nodes(program)
    return tree(inputs, spec.in_spec), tree(outputs, spec.out_spec)


def _user_values(program: ExportedProgram, input_specs: Sequence[Any]) -> list[Any]:
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    return [
        node if not hasattr(spec.arg, "value") else spec.arg.value
        for node, spec in zip(placeholders, input_specs, strict=True)
        if spec.kind.name == "USER_INPUT"
    ]


def _user_inputs(program: ExportedProgram) -> list[Node]:
    values = _user_values(program, program.graph_signature.input_specs)
    return [v for v in values if isinstance(v, Node)]


def _outputs(program: ExportedProgram, name: str) -> tuple[Node, ...]:
    outputs = tuple(without_tokens(program))
    if not outputs:
        raise ConversionError(
            explain(
                f"{name} returns no tensor, so there is nothing for an engine to compute",
                fix="return what is to be computed as a tensor",
            )
        )
    return outputs


def _output_nodes(program: ExportedProgram) -> list[Any]:
    (values,) = program.graph.output_node().args
    return list(values)


def _weights(program: ExportedProgram, prefix: str) -> dict[Node, tuple[torch.Tensor, str]]:
    """Parameters, buffers and constants by placeholder; what shares memory shares a name."""
    values = {**program.constants, **program.state_dict}
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder"]
    first: dict[Any, tuple[torch.Tensor, str]] = {}
    weights: dict[Node, tuple[torch.Tensor, str]] = {}
    for node, spec in zip(placeholders, program.graph_signature.input_specs, strict=True):
        tensor = values.get(spec.target) if spec.target else None
        if isinstance(tensor, torch.Tensor):
            name = spec.target.removeprefix(prefix)
            refuse_weight(name, tensor)
            key = _memory(tensor)
            own = first if tensor.numel() else {}
            weights[node] = own.setdefault(key, (tensor, name))
    return weights


def _state(
    program: ExportedProgram, prefix: str, weights: Mapping[Node, tuple[torch.Tensor, str]]
) -> dict[str, StateKey]:
    """Every key of the model's ``state_dict``, and the name of the weight that it is."""
    names = _by_memory(weights)
    return {
        key.removeprefix(prefix): StateKey.of(names.get(_memory(tensor), ""), tensor)
        for key, tensor in program.state_dict.items()
        if isinstance(tensor, torch.Tensor)
    }


def _settled(
    flat: Flat, weights: Mapping[Node, tuple[torch.Tensor, str]]
) -> dict[str, torch.Tensor]:
    """What Python was told of the model's state, by the names of the weights."""
    names = _by_memory(weights)
    return {names.get(_memory(x), key): x for key, x in flat.settled.items()}


def _by_memory(weights: Mapping[Node, tuple[torch.Tensor, str]]) -> dict[Any, str]:
    return {_memory(tensor): name for tensor, name in weights.values()}


def _memory(tensor: torch.Tensor) -> tuple[Any, ...]:
    return (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
