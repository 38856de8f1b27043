"""``Flat``: a module that takes and returns flat tensors, and the inputs it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from trtdsl.errors import ConversionError, explain
from trtdsl.export import dynamic
from trtdsl.export.admission import (
    refuse_autocast,
    refuse_input,
    refuse_other_models,
    refuse_size,
    refuse_training,
)
from trtdsl.export.history import History
from trtdsl.tree import Placeholder, Tree, flatten

__all__ = ["Flat", "example_inputs", "given_inputs", "input_names"]


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

    An ExportedProgram needs none. Errors: as of ``example_inputs``; ConversionError for what is no
    module, and for what torch.export cannot look into.
    """
    refuse_other_models(model)
    if kwargs is not None and not isinstance(kwargs, Mapping):
        raise ConversionError(
            explain(
                f"kwargs is a {type(kwargs).__name__}: {kwargs!r:.60}",
                fix='give the keyword inputs by name: kwargs={"mask": mask}',
            )
        )
    if args is None and kwargs is None and not isinstance(model, ExportedProgram):
        own = example_inputs(model)
        names = inspect.signature(model.forward).parameters
        if len(own) == 1 and isinstance(own[0], dict) and own[0].keys() <= names.keys():
            return (), own[0]
        return own, {}
    if args is not None and not isinstance(args, tuple | list):
        args = (args,)
    return tuple(args or ()), dict(kwargs or {})


def input_names(tree: Tree, parameters: Sequence[str]) -> list[str]:
    """What each tensor in ``(args, kwargs)`` is called."""
    structure = tree.unflatten([Placeholder(i) for i in range(tree.num_leaves)])
    places = sorted(dynamic.walk(structure), key=lambda item: item[1].index)
    return [dynamic.input_name(path, parameters) for path, _ in places]


@dataclass
class _Result:
    """The tree of the outputs, where torch.export, which resets a module's attributes, keeps it."""

    tree: Tree


class Flat(nn.Module):
    """The module, with flat tensors in and out."""

    def __init__(self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        refuse_training(model)
        self.train(False)
        self.model = model
        self.parameter_names = _parameters(model, len(args))
        for name, value in (*zip(self.parameter_names, args, strict=False), *kwargs.items()):
            flatten(value, name)  # its errors name the input
        leaves, self.input_tree = flatten((args, kwargs))
        self.tracked = [isinstance(x, torch.Tensor) and x.requires_grad for x in leaves]
        """Which examples the model may take gradients for."""
        # torch.export takes one tensor given twice, or one of the model's own, for one value.
        self.leaves = [x.detach() if isinstance(x, torch.Tensor) else x for x in leaves]
        self.result = _Result(self.input_tree)
        self.history = History()
        self.settled: dict[str, torch.Tensor] = {}
        """What Python was told of the model's ``state_dict`` while it was exported."""
        self.input_names = input_names(self.input_tree, self.parameter_names)
        for leaf, name in zip(self.leaves, self.input_names, strict=True):
            refuse_input(name, leaf)
        refuse_autocast([*self.leaves, *model.parameters(), *model.buffers()])

    def forward(self, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
        args, kwargs = self.input_tree.unflatten(leaves)
        with self.history.recorded(self.model):
            result = self.model(*args, **kwargs)
        outputs, self.result.tree = flatten(result, "output")
        return tuple(outputs)

    def called(self, leaves: Sequence[torch.Tensor]) -> list[Any]:
        """The tensors and other values of the module's answer, without torch.export."""
        args, kwargs = self.input_tree.unflatten(leaves)
        outputs, tree = flatten(self.model(*args, **kwargs), "output")
        return [*outputs, str(tree)]

    @property
    def output_tree(self) -> Tree:
        return self.result.tree

    def specs(self, dynamic_shapes: Any) -> list[Any]:
        spread = _spread(self.model, dynamic_shapes, self.parameter_names)
        found = dynamic.specs(spread, self.input_tree, self.parameter_names)
        specs = dynamic.axes(found, self.leaves, self.input_names)
        for leaf, name, spec in zip(self.leaves, self.input_names, specs, strict=True):
            for axis, dim in spec.items():
                refuse_size(name, axis, leaf.shape[axis], dim)
        return specs


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
            explain(
                f"{type(model).__name__}.forward takes {len(names)} positional "
                f"input{'s' * (len(names) != 1)} ({', '.join(names)}); {count} were given",
                fix="give the example inputs as the model is called, those with names as kwargs",
            )
        )
    return tuple(names)


def _spread(model: nn.Module, dynamic_shapes: Any, parameters: Sequence[str]) -> Any:
    """With those of ``*args`` and ``**kwargs``, nested as torch.export has them, by input."""
    if isinstance(dynamic_shapes, tuple | list):
        return _spread_in_order(model, dynamic_shapes, parameters)
    if not isinstance(dynamic_shapes, Mapping):
        return dynamic_shapes
    shapes = dict(dynamic_shapes)
    for parameter in inspect.signature(model.forward).parameters.values():
        spec = shapes.get(parameter.name)
        if parameter.kind is parameter.VAR_POSITIONAL and isinstance(spec, tuple | list):
            del shapes[parameter.name]
            shapes.update({f"{parameter.name}_{i}": s for i, s in enumerate(spec)})
        elif parameter.kind is parameter.VAR_KEYWORD and isinstance(spec, Mapping):
            del shapes[parameter.name]
            shapes.update(spec)
    return shapes


def _spread_in_order(
    model: nn.Module, shapes: Sequence[Any], parameters: Sequence[str]
) -> Sequence[Any]:
    """Of a tuple whose last entry is that of all ``*args``, one for each of these."""
    kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
    several = inspect.Parameter.VAR_POSITIONAL
    first = kinds.index(several) if several in kinds else len(parameters)
    if len(shapes) != first + 1 or first >= len(parameters):
        return shapes
    *own, spec = shapes
    each = isinstance(spec, tuple | list) and len(spec) == len(parameters) - first
    if each and all(s is None or isinstance(s, Mapping | tuple | list) for s in spec):
        return (*own, *spec)
    return shapes
