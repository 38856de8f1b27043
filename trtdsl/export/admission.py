"""Which models, weights and example inputs torch.export is asked to capture, and which never."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.nn.parameter import is_lazy

from trtdsl.errors import ConversionError, explain

__all__ = [
    "refuse_autocast",
    "refuse_input",
    "refuse_other_models",
    "refuse_size",
    "refuse_training",
    "refuse_weight",
]


def refuse_other_models(model: Any) -> None:
    """Refuse what is no module, and modules that torch.export cannot look into."""
    if isinstance(model, ExportedProgram):
        return
    if not isinstance(model, nn.Module):
        raise _no_module(model)
    for name, module in model.named_modules():
        found = _foreign(module)
        if found is not None:
            what, fix = found
            raise ConversionError(explain(what, at=f"module {name}" if name else None, fix=fix))
    if getattr(model.forward, "__func__", None) is nn.Module.forward:
        raise ConversionError(
            explain(
                f"the model is a {type(model).__name__}, which has no forward",
                fix="give nn.Sequential, or a module whose forward calls what it holds",
            )
        )


def refuse_training(model: nn.Module) -> None:
    """Refuse a model of which a part is in training mode, but for what torch.export has made.

    Its graphs have the mode among the arguments of their operators, and no ``eval()``.
    """
    exported = [m for m in model.modules() if isinstance(m, GraphModule) and "eval" in vars(m)]
    apart = {m for part in exported for m in part.modules()}
    modules = [(name, m) for name, m in model.named_modules() if m not in apart]
    training = [name or type(model).__name__ for name, m in modules if m.training]
    if training:
        raise ConversionError(
            explain(
                f"{type(model).__name__} is in training mode: {', '.join(training[:3])}"
                + (f" and {len(training) - 3} more submodules" if len(training) > 3 else ""),
                fix="call model.eval() first",
            )
        )


def refuse_autocast(tensors: Iterable[torch.Tensor]) -> None:
    """Refuse autocast around the conversion: around a call it would not be."""
    for device in sorted({x.device.type for x in tensors}):
        if device != "meta" and torch.is_autocast_enabled(device):
            dtype = str(torch.get_autocast_dtype(device)).removeprefix("torch.")
            precision = {"float16": "fp16", "bfloat16": "bf16"}.get(dtype, "fp16")
            raise ConversionError(
                explain(
                    f"the conversion is within torch.autocast to {dtype}, which is no part of the "
                    "model",
                    fix=f"convert outside of it, with precision={precision!r}; or let the model's "
                    "forward turn it on",
                )
            )


def refuse_input(name: str, x: Any) -> None:
    """Refuse an example input that is no plain tensor."""
    if not isinstance(x, torch.Tensor):
        what, fix = f"a {type(x).__name__}", "give torch tensors: torch.from_numpy(x)"
    elif x.is_nested:
        what, fix = "a nested tensor", "pad it: torch.nested.to_padded_tensor(x, 0.0)"
    elif x.layout is not torch.strided:
        what, fix = f"sparse ({x.layout})", f"{name}.to_dense()"
    elif x.is_quantized:
        what, fix = f"quantized ({x.dtype})", f"{name}.dequantize()"
    else:
        return
    raise ConversionError(explain(f"example input {name} is {what}", fix=fix))


def refuse_size(name: str, axis: int, size: int, dim: Any) -> None:
    """Refuse an example that is not within the range of its own size."""
    what = f"example input {name} has {size} at axis {axis}"
    if isinstance(dim, int):
        if dim != size:
            fix = f"write {size}, or leave the axis out: it does not vary"
            raise ConversionError(explain(f"{what}, and dynamic_shapes {dim}", fix=fix))
        return
    low, high = getattr(dim, "min", None), getattr(dim, "max", None)
    least = 0 if low is None or hasattr(dim, "root") else low
    if size < least or (high is not None and not hasattr(dim, "root") and size > high):
        which = getattr(dim, "__name__", "the Dim")
        fix = f"give an example within the range of {which}, or widen it"
        raise ConversionError(explain(f"{what}, outside of {which}'s {low}..{high}", fix=fix))


def refuse_weight(name: str, x: torch.Tensor) -> None:
    """Refuse a weight that has no values, or not one for each place."""
    if x.is_meta:
        what = "is on the meta device and has no values"
        fix = "load the weights: model.to_empty(device='cpu'), load_state_dict"
    elif x.layout is not torch.strided:
        what, fix = f"is sparse ({x.layout})", f"keep it dense in the model: {name}.to_dense()"
    else:
        return
    raise ConversionError(explain(f"{name} {what}", fix=fix))


def _no_module(model: Any) -> ConversionError:
    kind, fix = type(model).__name__, "put it into the forward of a torch.nn.Module"
    what = f"the {kind} {model.__name__}" if hasattr(model, "__name__") else f"a {kind}"
    if model is None:
        what = "None"
    elif isinstance(model, type):
        what = f"the class {model.__name__}"
        if issubclass(model, nn.Module):
            fix = f"make an instance: {model.__name__}(...).eval()"
    elif isinstance(owner := getattr(model, "__self__", None), nn.Module):
        what = f"the method {model.__name__} of {type(owner).__name__}"
        if model.__name__ in ("forward", "__call__"):
            fix = "give the module itself"
    return ConversionError(explain(f"the model is {what}, not a torch.nn.Module", fix=fix))


def _foreign(module: nn.Module) -> tuple[str, str] | None:
    """What torch.export cannot do with a module, and the fix."""
    name = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        what = f"{name} is compiled by torch.jit, without its Python"
        return what, "use the module that it was made from"
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        what = f"{name} spreads the model over several GPUs; an engine has one"
        return what, "use what it wraps: model.module"
    own: Sequence[Any] = [*module._parameters.values(), *module._buffers.values()]
    if any(is_lazy(x) for x in own):
        what = f"{name} has no weights yet: it makes them of its first input's size"
        return what, "call the model once with the example inputs before"
    if type(module).__module__.startswith("torch.ao.nn.quantized") or any(
        x is not None and x.is_quantized for x in own
    ):
        what = f"{name} is quantized by PyTorch, whose integers only its own kernels take"
        return what, "convert the model as it was before; precision='fp16' makes it faster"
    return None
