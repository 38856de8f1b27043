"""``@trtdsl.plugin``: which operator, or which module, a plugin class stands for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from trtdsl import registry
from trtdsl.errors import ConversionError, explain
from trtdsl.ir.plugin import Plugin, attribute

if TYPE_CHECKING:
    import torch

__all__ = ["plugin"]

PluginClass = TypeVar("PluginClass", bound=type[Plugin])


def plugin(
    target: torch._ops.OpOverload | type[torch.nn.Module], *, override: bool = False
) -> Callable[[PluginClass], PluginClass]:
    """Let a plugin class stand for an operator, or for a whole class of modules.

    - ``torch.ops.mylib.op.default``, of ``torch.library`` or ATen: its tensors are the plugin's
      inputs, in the order of the schema; its other arguments are the plugin's fields, by name.
      An optional tensor may be absent where only absent ones follow.
    - ``MyModule``: each such module (of a class derived from it, no) becomes one layer. Inputs are
      the tensors that it is called with, then its parameters, then its buffers;
      ``Plugin.from_module`` gives the fields. It gives a tensor, or a tuple as ``infer`` does;
      its own code is not traced, and may be what torch.export cannot capture.

    It stands above ``@dataclass(...)``.
    Errors: ConversionError when fields and schema differ, or when the operator has a converter (or
    the module a plugin) already, unless ``override=True``.
    """
    if inspect.isclass(target) and issubclass(target, Plugin):
        raise ConversionError(
            explain(
                f"@trtdsl.plugin above {target.__qualname__} does not say what it stands for",
                at=inspect.getsourcefile(target),
                fix="@trtdsl.plugin(torch.ops.mylib.op.default), or of a class of modules",
            )
        )

    def bind(cls: PluginClass) -> PluginClass:
        if not (is_dataclass(cls) and issubclass(cls, Plugin)):
            raise ConversionError(
                explain(
                    f"{cls.__qualname__} is no dataclass derived from trtdsl.Plugin",
                    fix="write @trtdsl.plugin(...) above @dataclass(frozen=True, kw_only=True)",
                )
            )
        if missing := sorted(cls.__abstractmethods__):
            raise ConversionError(
                explain(
                    f"plugin {cls.__qualname__} has no {' and no '.join(missing)}",
                    at=inspect.getsourcefile(cls),
                    fix="write infer(self, x), of TensorTypes, and evaluate(self, x), of tensors",
                )
            )
        if inspect.isclass(target):
            from trtdsl import module_plugins

            module_plugins.bind(target, cls, override=override)
        else:
            registry.converter(target, override=override)(_converter(target, cls))
        return cls

    return bind


def _converter(operator: Any, cls: type[Plugin]) -> Callable[..., Any]:
    """A converter with the operator's signature that appends the plugin."""
    schema = getattr(operator, "_schema", None)
    if schema is None:
        raise ConversionError(
            explain(
                f"{operator!r} is neither an overload of an operator nor a module class",
                at=cls.__qualname__,
                fix="name one, as in @trtdsl.plugin(torch.ops.mylib.op.default)",
            )
        )
    tensors, others = _arguments(operator, cls)
    signature = inspect.Signature([_parameter(a) for a in schema.arguments])

    def convert(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        layer = cls(**{n: attribute(cls, n, given.arguments[n]) for n in others})
        outputs = layer.outputs(*_present(cls, tensors, [given.arguments[n] for n in tensors]))
        return outputs[0] if len(outputs) == 1 else outputs

    convert.__signature__ = signature  # type: ignore[attr-defined]
    convert.plugin = cls  # type: ignore[attr-defined]
    return convert


def _arguments(operator: Any, cls: type[Plugin]) -> tuple[list[str], list[str]]:
    """The names of an operator's tensors and of its other arguments, held against the fields."""
    tensors: list[str] = []
    others: list[str] = []
    for argument in operator._schema.arguments:
        kind = str(argument.type)
        if "List[Tensor]" in kind or "List[Optional[Tensor]]" in kind:
            raise ConversionError(
                explain(
                    f"{operator} takes a list of tensors, {argument.name}, and a plugin takes each "
                    "by itself",
                    at=cls.__qualname__,
                    fix=f"write a converter: @trtdsl.converter(torch.ops.{operator})",
                )
            )
        (tensors if "Tensor" in kind else others).append(argument.name)
    has = {f.name: f.default is MISSING and f.default_factory is MISSING for f in fields(cls)}  # type: ignore[arg-type]
    wrong = [f"argument {name} is no field" for name in others if name not in has]
    wrong += [
        f"field {n} is no argument" for n, needed in has.items() if needed and n not in others
    ]
    if not tensors:
        wrong.append("it takes no tensor")
    if wrong:
        raise ConversionError(
            explain(
                f"plugin {cls.__qualname__} does not fit {operator}: {', '.join(wrong)}",
                at=inspect.getsourcefile(cls),
                fix=f"give the class these fields: {', '.join(others) or 'none'}",
            )
        )
    return tensors, others


def _parameter(argument: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY if argument.kwarg_only else None
    has_default = argument.has_default_value()
    return inspect.Parameter(
        argument.name,
        kind or inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=argument.default_value if has_default else inspect.Parameter.empty,
    )


def _present(cls: type[Plugin], names: Sequence[str], tensors: Sequence[Any]) -> list[Any]:
    count = next((i for i, x in enumerate(tensors) if x is None), len(tensors))
    late = [n for n, x in zip(names[count:], tensors[count:], strict=True) if x is not None]
    if late:
        raise ConversionError(
            f"plugin {cls.__qualname__} is given {late[0]}, behind {names[count]}, which is absent"
        )
    return list(tensors[:count])
