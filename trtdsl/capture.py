"""Capture: ``nn.Module`` -> ATen graph, weights by ``state_dict`` name, input and output trees.

The module is exported behind a wrapper that takes and returns flat tensors, so that its own inputs
and outputs may be any nesting of containers without registering their classes with PyTorch.
"""

from __future__ import annotations

import inspect
import sysconfig
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from trtdsl import dynamic
from trtdsl.errors import ConversionError, TrtdslError, explain
from trtdsl.inplace import drop_dropout, has_inplace, hides_views, rewrite_inplace
from trtdsl.source import Source
from trtdsl.tree import Placeholder, Tree, flatten
from trtdsl.types import DimRange

__all__ = ["Captured", "capture", "example_inputs"]


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


def example_inputs(model: nn.Module) -> tuple[Any, ...]:
    """The inputs that a model brings itself: ``example_input_array`` or ``dummy_inputs``.

    Errors: ConversionError when it has neither.
    """
    for attribute in ("example_input_array", "dummy_inputs"):
        value = getattr(model, attribute, None)
        if value is not None:
            return value if isinstance(value, tuple) else (value,)
    raise ConversionError(
        explain(
            f"{type(model).__name__} does not say what its inputs look like",
            fix="pass example inputs, convert(model, (torch.randn(1, 3, 224, 224),)), or give the "
            "model an attribute example_input_array",
        )
    )


def given_inputs(
    model: nn.Module | ExportedProgram,
    args: Sequence[Any] | torch.Tensor | None,
    kwargs: Mapping[str, Any] | None,
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, or where none are given those that the model brings itself.

    An ExportedProgram needs none. Errors: as of ``example_inputs``.
    """
    if args is None and kwargs is None and not isinstance(model, ExportedProgram):
        own = example_inputs(model)
        names = inspect.signature(model.forward).parameters
        if len(own) == 1 and isinstance(own[0], dict) and own[0].keys() <= names.keys():
            return (), own[0]
        return own, {}
    if args is not None and not isinstance(args, tuple | list):
        args = (args,)
    return tuple(args or ()), dict(kwargs or {})


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
        program, flat = model, None
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


def input_tree_paths(tree: Tree) -> list[tuple[Any, ...]]:
    """The path of each tensor in ``(args, kwargs)``."""
    structure = tree.unflatten([Placeholder(i) for i in range(tree.num_leaves)])
    return [path for path, _ in sorted(dynamic.walk(structure), key=lambda item: item[1].index)]


@dataclass
class _Result:
    """The tree of the outputs, where torch.export, which resets a module's attributes, keeps it."""

    tree: Tree


class Flat(nn.Module):
    """The module, with flat tensors in and out."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        _refuse_training(model)
        self.train(False)
        self.model = model
        self.leaves, self.input_tree = flatten((args, kwargs))
        self.result = _Result(self.input_tree)
        self.parameter_names = _parameters(model, len(args))
        for leaf, path in zip(self.leaves, input_tree_paths(self.input_tree), strict=True):
            if not isinstance(leaf, torch.Tensor):
                name = dynamic.input_name(path, self.parameter_names)
                raise ConversionError(
                    explain(
                        f"example input {name} is a {type(leaf).__name__}",
                        fix="give torch tensors as example inputs: torch.from_numpy(x)",
                    )
                )

    def forward(self, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        args, kwargs = self.input_tree.unflatten(leaves)
        outputs, self.result.tree = flatten(self.model(*args, **kwargs))
        return tuple(outputs)

    @property
    def output_tree(self) -> Tree:
        return self.result.tree

    def specs(self, dynamic_shapes: Any) -> list[Any]:
        return dynamic.specs(dynamic_shapes, self.input_tree, self.parameter_names)


def _parameters(model: nn.Module, count: int) -> tuple[str, ...]:
    """The names of the first ``count`` positional parameters of ``model.forward``."""
    names: list[str] = []
    for parameter in inspect.signature(model.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(count - len(names))]
        elif parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
            names.append(parameter.name)
    if len(names) < count:
        raise ConversionError(
            f"{type(model).__name__}.forward takes {len(names)} positional inputs "
            f"({', '.join(names)}); {count} were given"
        )
    return tuple(names)


def _refuse_training(model: nn.Module) -> None:
    training = [name or type(model).__name__ for name, m in model.named_modules() if m.training]
    if training:
        raise ConversionError(
            explain(
                f"{type(model).__name__} is in training mode: {', '.join(training[:3])}"
                + (f" and {len(training) - 3} more submodules" if len(training) > 3 else ""),
                fix="call model.eval() first",
            )
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
            warnings.simplefilter("ignore", FutureWarning)
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
