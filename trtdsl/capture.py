"""Capture: ``nn.Module`` -> ATen graph, weights by ``state_dict`` name, input and output trees.

The module is exported behind a wrapper that takes and returns flat tensors, so that its own inputs
and outputs may be any nesting of containers without registering their classes with PyTorch.
"""

from __future__ import annotations

import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy, deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from trtdsl import dynamic
from trtdsl.errors import ConversionError, TrtdslError, explain
from trtdsl.flat import Flat, input_tree_paths
from trtdsl.inplace import drop_dropout, has_inplace, hides_views, rewrite_inplace
from trtdsl.source import Source
from trtdsl.tree import Placeholder, Tree, flatten
from trtdsl.types import DimRange

__all__ = ["Captured", "capture"]


@dataclass(frozen=True, kw_only=True)
class Captured:
    """An exported graph, and what its placeholders are."""

    module: GraphModule
    inputs: tuple[tuple[Node, str], ...]
    """The placeholders of the model's inputs, and the names of the inputs."""
    weights: Mapping[Node, tuple[torch.Tensor, str]]
    """The placeholders of parameters, buffers and constants; tied ones share one name."""
    outputs: tuple[Node, ...]
    symbols: Mapping[str, DimRange]
    names: Mapping[Any, str]
    """PyTorch's symbols, and what the user calls them."""
    input_tree: Tree
    output_tree: Tree
    parameters: tuple[str, ...]
    prefix: str
    """What stands before the user's own names in module paths."""


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
    if isinstance(model, ExportedProgram):
        if dynamic_shapes:
            raise ConversionError(
                "dynamic_shapes belong to torch.export.export; this is its result"
            )
        # The graph is rewritten, and the caller's must stay as it is.
        program, flat = copy(model), None
        program._graph_module = deepcopy(model.graph_module)
    else:
        flat = Flat(model, tuple(args), dict(kwargs or {}))
        program = _export(flat, dynamic_shapes)
    program = _functional(program, keep)
    input_tree, output_tree = (flat.input_tree, flat.output_tree) if flat else _trees(program)
    parameters = flat.parameter_names if flat else _argument_names(program)
    nodes = _user_inputs(program)
    names = [dynamic.input_name(path, parameters) for path in input_tree_paths(input_tree)]
    wanted = dynamic.dim_names(flat.specs(dynamic_shapes)) if flat else {}
    symbols, renamed = dynamic.ranges(
        program, nodes, wanted, opt or {}, flat.leaves if flat else None
    )
    outputs = tuple(n for n in _output_nodes(program) if isinstance(n, Node))
    return Captured(
        module=program.graph_module,
        inputs=tuple(zip(nodes, names, strict=True)),
        weights=_weights(program, "model." if flat else ""),
        outputs=outputs,
        symbols=symbols,
        names=renamed,
        input_tree=input_tree,
        output_tree=output_tree,
        parameters=parameters,
        prefix="model" if flat else "",
    )


def _export(flat: Flat, dynamic_shapes: Any) -> ExportedProgram:
    specs = flat.specs(dynamic_shapes)
    leaves = dynamic.widened(flat.leaves, specs)
    shapes = {"leaves": tuple(specs)} if any(s for s in specs) else None
    try:
        with _restored(flat.model), torch.no_grad():
            return torch.export.export(flat, leaves, dynamic_shapes=shapes, strict=False)
    except TrtdslError:
        raise
    except Exception as error:
        message = "\n  ".join(str(error).strip().splitlines()[:12])
        stack = "".join(_frames(error))
        raise ConversionError(
            explain(
                f"torch.export cannot capture {type(flat.model).__name__}: "
                f"{type(error).__name__}: {message}",
                at=Source(stack=stack).line,
                fix="make torch.export.export(model, inputs, strict=False) work; see above",
            )
        ) from error


def _frames(error: BaseException) -> Iterator[str]:
    standard = Path(sysconfig.get_paths()["stdlib"])
    not_users = (Path(__file__).parent, Path(torch.__file__).parent)
    for frame in traceback.extract_tb(error.__traceback__):
        file = Path(frame.filename)
        is_standard = standard in file.parents and "site-packages" not in file.parts
        if not is_standard and not any(folder in file.parents for folder in not_users):
            yield f'File "{frame.filename}", line {frame.lineno}, in {frame.name}\n  {frame.line}\n'


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Undo what the tracing does to a module's attributes, such as caching a fake tensor in one."""
    attributes = [m.__dict__ for m in model.modules()]
    containers = [v for a in attributes for v in a.values() if isinstance(v, dict | list | set)]
    before = [(value, value.copy()) for value in (*attributes, *containers)]
    try:
        yield
    finally:
        for value, contents in before:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(contents)


def _functional(program: ExportedProgram, keep: Callable[[Any], bool]) -> ExportedProgram:
    """A graph whose operators write to no argument and, where PyTorch can decompose, are kept."""
    modules = [m for m in program.graph_module.modules() if isinstance(m, GraphModule)]
    graphs = [m.graph for m in modules]
    for module in modules:
        if drop_dropout(module.graph):
            module.recompile()
    simple = all(rewrite_inplace(g) for g in graphs if has_inplace(g))
    targets = {n.target for g in graphs for n in g.nodes if _is_operator(n)}
    if not simple or not all(keep(t) for t in targets):
        table = torch.export.default_decompositions()
        for operator in [o for o in table if keep(o) and (simple or not hides_views(o))]:
            del table[operator]
        with warnings.catch_warnings():
            # PyTorch copies a deprecated class of its own.
            warnings.filterwarnings("ignore", ".*treespec, LeafSpec", FutureWarning)
            program = program.run_decompositions(table)
    signature = program.graph_signature
    mutated = {**signature.buffers_to_mutate, **signature.user_inputs_to_mutate}
    if mutated:
        names = ", ".join(sorted(str(v).removeprefix("model.") for v in mutated.values()))
        raise ConversionError(
            explain(
                f"the model updates {names} in place, and an engine keeps no state between calls",
                fix="return the new value as an output, and pass the old one as an input",
            )
        )
    return program


def _is_operator(node: Node) -> bool:
    """Whether a node computes tensors; arithmetic on sizes needs no converter."""
    symbolic = isinstance(node.meta.get("val"), torch.SymInt | torch.SymFloat | torch.SymBool)
    operator = isinstance(node.target, torch._ops.OpOverload)
    return node.op == "call_function" and operator and not symbolic


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
            key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.device)
            own = first if tensor.numel() else {}
            weights[node] = own.setdefault(key, (tensor, spec.target.removeprefix(prefix)))
    return weights
