"""Modules that plugins stand for: while a model is captured, each is one operator."""

from __future__ import annotations

import inspect
import json
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils import _pytree as pytree

from trtdsl.errors import ConversionError, TrtdslError, explain
from trtdsl.extension.size_expressions import read, write
from trtdsl.ir.plugin import Plugin, attribute
from trtdsl.registry import converter
from trtdsl.types import DType, TensorType

if TYPE_CHECKING:
    from trtdsl.network import Tensor

__all__ = ["bind", "kept_whole"]

_PLUGINS: dict[type[nn.Module], type[Plugin]] = {}
_CALLS: dict[int, _Call] = {}
"""The calls of the capture that is under way."""


def bind(module: type[nn.Module], cls: type[Plugin], *, override: bool) -> None:
    """Let a plugin class stand for modules of a class. Errors: ConversionError for a second one."""
    before = _PLUGINS.get(module)
    if before is not None and not override:
        raise ConversionError(
            explain(
                f"module {module.__qualname__} has a plugin already: {before.__qualname__}",
                at=cls.__qualname__,
                fix="pass override=True to replace it",
            )
        )
    _PLUGINS[module] = cls


class _Call:
    """A module whose forward is one operator while a model is captured."""

    def __init__(self, module: nn.Module, cls: type[Plugin]) -> None:
        self.module = module
        self.cls = cls
        self.original = module.forward
        self.structure: Any = None
        _CALLS[id(module)] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        leaves, self.structure = pytree.tree_flatten((args, kwargs))
        if not all(isinstance(x, torch.Tensor) for x in leaves):
            raise ConversionError(
                explain(
                    f"module {type(self.module).__qualname__} is called with more than tensors, "
                    f"and plugin {self.cls.__qualname__} gets tensors",
                    fix="make the rest attributes of the module, for from_module to read",
                )
            )
        layer = self.cls.from_module(self.module)
        attributes = {n: attribute(self.cls, n, v) for n, v in layer.attributes().items()}
        record = json.dumps([self.cls.__name__, self.cls.version, attributes])
        state = [*self.module.parameters(), *self.module.buffers()]
        outputs = torch.ops.trtdsl.module_plugin(leaves, state, record, id(self.module))
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def run(self, tensors: list[torch.Tensor]) -> list[torch.Tensor]:
        """What the module itself gives."""
        args, kwargs = pytree.tree_unflatten(tensors, self.structure)
        return [x.clone() for x in pytree.tree_leaves(self.original(*args, **kwargs))]


@torch.library.custom_op("trtdsl::module_plugin", mutates_args=())
def _module_plugin(
    tensors: list[torch.Tensor], state: list[torch.Tensor], record: str, call: int
) -> list[torch.Tensor]:
    return _CALLS[call].run(tensors)


@_module_plugin.register_fake
def _(
    tensors: list[torch.Tensor], state: list[torch.Tensor], record: str, call: int
) -> list[torch.Tensor]:
    """Empty outputs, of the types that the plugin infers."""
    inputs = [*tensors, *state]
    shapes, known = read([x.shape for x in inputs], lambda n: n if isinstance(n, int) else None)
    types = [TensorType(DType.of(x.dtype), s) for x, s in zip(inputs, shapes, strict=True)]
    inferred = _inferred(_plugin(record), types)
    return [
        inputs[0].new_empty([write(d, known, int, _size) for d in y.shape], dtype=y.dtype.torch)
        for y in (inferred if isinstance(inferred, tuple) else (inferred,))
    ]


def _inferred(plugin: Plugin, types: list[TensorType]) -> Any:
    try:
        return plugin.infer(*types)
    except TrtdslError:
        raise
    except Exception as error:
        raise ConversionError(
            explain(
                f"infer of plugin {type(plugin).__qualname__} raised {type(error).__name__}: "
                f"{error}, for {', '.join(map(str, types))}",
                at=inspect.getsourcefile(type(plugin)),
                fix="it gets what the module is called with, its parameters, and its buffers",
            )
        ) from error


_OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "SUM": operator.add,
    "PROD": operator.mul,
    "FLOOR_DIV": operator.floordiv,
    "MAX": torch.sym_max,
    "MIN": torch.sym_min,
}


def _size(name: str, x: Any, y: Any) -> Any:
    """A size of PyTorch's, symbolic where x or y is."""
    return _OPERATIONS[name](x, y)


def _plugin(record: str) -> Plugin:
    name, version, attributes = json.loads(record)
    return Plugin.classes[name, version].from_attributes(attributes)


@converter(torch.ops.trtdsl.module_plugin.default)
def module_plugin(
    tensors: list[Tensor], state: list[Tensor], record: str, call: int
) -> list[Tensor]:
    """The plugin of a module, on what it is called with, its parameters and its buffers."""
    return list(_plugin(record).outputs(*tensors, *state))


@contextmanager
def kept_whole(model: Any) -> Iterator[None]:
    """Inside, every module of the model that a plugin stands for is one operator."""
    modules = model.modules() if isinstance(model, nn.Module) else ()
    found = [m for m in modules if type(m) in _PLUGINS]
    forwards: list[Callable[..., Any]] = [m.forward for m in found]
    for module in found:
        module.forward = _Call(module, _PLUGINS[type(module)])
    try:
        yield
    finally:
        for module, forward in zip(found, forwards, strict=True):
            del module.forward
            if module.forward != forward:  # it was the instance's own
                module.forward = forward
            _CALLS.pop(id(module), None)
