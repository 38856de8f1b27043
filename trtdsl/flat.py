"""``Flat``: a module that takes and returns flat tensors, and the inputs it is called with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from trtdsl import dynamic
from trtdsl.errors import ConversionError, explain
from trtdsl.tree import Placeholder, Tree, flatten

__all__ = ["Flat", "example_inputs", "given_inputs", "input_tree_paths"]


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
