"""What to fill in for an operator that has no converter: a plugin class, or a converter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

__all__ = ["LAYERS", "Since", "layer_note", "source", "stub"]


class Since(NamedTuple):
    """A method of INetworkDefinition, and the first release that has it for an operator.

    ``member`` is the enumeration's member that the operator needs, where that came later.
    """

    method: str
    release: str
    member: str = ""


LAYERS = {
    "_c10d_functional.all_gather": Since("add_dist_collective", "10.16"),
    "_c10d_functional.all_reduce": Since("add_dist_collective", "10.16"),
    "_c10d_functional.all_to_all": Since(
        "add_dist_collective", "11.0", "CollectiveOperation.ALL_TO_ALL"
    ),
    "_c10d_functional.broadcast": Since("add_dist_collective", "10.16"),
    "_c10d_functional.reduce_scatter": Since("add_dist_collective", "10.16"),
    "aten._efficient_attention_forward": Since("add_attention", "10.14"),
    "aten._fake_quantize_": Since("add_quantize", "8.6"),
    "aten._flash_attention_forward": Since("add_attention", "10.14"),
    "aten._weight_int4pack_mm": Since("add_dequantize", "10.0", "DataType.INT4"),
    "aten._weight_int8pack_mm": Since("add_dequantize", "8.6"),
    "aten.dequantize": Since("add_dequantize", "8.6"),
    "aten.fake_quantize_per_channel_affine_cachemask": Since("add_quantize", "8.6"),
    "aten.fake_quantize_per_tensor_affine_cachemask": Since("add_quantize", "8.6"),
    "aten.nonzero_static": Since("add_non_zero", "8.6"),
    "aten.quantize_per_": Since("add_quantize", "8.6"),
    "onnx.Attention": Since("add_attention", "10.14"),
    "onnx.RotaryEmbedding": Since("add_rotary_embedding", "10.15"),
    "quantized_decomposed.dequantize_per_channel": Since("add_dequantize", "8.6"),
    "quantized_decomposed.dequantize_per_tensor": Since("add_dequantize", "8.6"),
    "quantized_decomposed.quantize_per_channel": Since("add_quantize", "8.6"),
    "quantized_decomposed.quantize_per_tensor": Since("add_quantize", "8.6"),
}
"""By the beginnings of operators that have no converter, the layer that does the main part of it.

Random operators are not here: TensorRT's fill layer draws numbers, but trtdsl wants them as inputs.
No operator of PyTorch is the layer of a mixture of experts, of a key-value cache, of a reversal of
sequences or of a dynamic quantization to 4 bits.
"""

_HEADER = '''\
"""Operators that trtdsl does not know, to be filled in; import this module before converting.

Each class is complete but for what its comments ask for: infer and the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

import trtdsl
from trtdsl.types import TensorType
'''
_PLUGIN = '''
{constant} = """
extern "C" __global__ void {kernel}(
    {pointers}
    int count
) {{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) y0[i] = {first}[i];  // what each element is
}}
"""


@trtdsl.plugin(torch.ops.{name})
@dataclass(frozen=True, kw_only=True)
class {cls}(trtdsl.Plugin, kernel={constant}):
    """What ``{name}`` computes."""

{fields}
    def infer(
        self,
        {types}
    ) -> {types_given}:
        # The outputs' types: TensorType(dtype, shape), from those of the inputs.
        return {same}

    def evaluate(
        self,
        {tensors}
    ) -> {tensors_given}:
        return torch.ops.{name}(
            {call}
        )

    def launch(
        self,
        {buffers}
        *,
        workspace: trtdsl.Buffer | None,
    ) -> trtdsl.Launch:
        # The kernel's arguments in its own order; attributes are self's.
        args = ({arguments}, y0.volume)
        return trtdsl.Launch(kernel="{kernel}", grid=-(-y0.volume // 256), block=256, args=args)


# Where TensorRT's layers can be put together for it, a converter is enough:
#
# @trtdsl.converter(torch.ops.{name})
# def {kernel}({parameters}):
#     return ...
'''
_TYPES = {
    "float": "float",
    "number": "float",
    "int": "int",
    "SymInt": "int",
    "bool": "bool",
    "str": "str",
    "List[int]": "tuple[int, ...]",
    "List[SymInt]": "tuple[int, ...]",
    "List[float]": "tuple[float, ...]",
    "List[bool]": "tuple[bool, ...]",
}


def layer_note(operator: str) -> str:
    """Which TensorRT has a layer for an operator, as far as known; else nothing."""
    for beginning, (method, release, member) in LAYERS.items():
        if operator.startswith(beginning):
            what = f"INetworkDefinition.{method}" + (f" with {member}" if member else "")
            return f"TensorRT {release} and later have {what}"
    return ""


def source(operators: Sequence[str]) -> str:
    """A module with a stub for each operator (``"mylib.op.default"``); "" where none has one."""
    stubs = [stub(name) for name in operators]
    body = "\n".join(s for s in stubs if s)
    if not body:
        return ""
    return f"{_HEADER}\n{body}" if body.startswith("\n@") else f"{_HEADER}{body}"


def stub(name: str) -> str:
    """The stub of one operator; nothing for one that is no operator of ``torch.ops``."""
    import torch

    found: Any = torch.ops
    for part in name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, torch._ops.OpOverload):
        return ""
    arguments = found._schema.arguments
    listed = any("List[" in str(a.type) and "Tensor" in str(a.type) for a in arguments)
    tensors = [a for a in arguments if "Tensor" in str(a.type)]
    if listed or not tensors:
        return _converter_stub(name, found)
    return _plugin_stub(name, found)


def _plugin_stub(name: str, operator: Any) -> str:
    arguments = operator._schema.arguments
    inputs = [_own(a.name) for a in arguments if "Tensor" in str(a.type)]
    others = [a for a in arguments if "Tensor" not in str(a.type)]
    outputs = [f"y{i}" for i in range(len(operator._schema.returns))]
    pointers = [f"const T{i}* {x}" for i, x in enumerate(inputs)]
    pointers += [f"T{len(inputs) + i}* {y}" for i, y in enumerate(outputs)]
    return _PLUGIN.format(
        name=name,
        cls=_class(name),
        kernel=_identifier(name),
        constant=_identifier(name).upper(),
        pointers=_lines(pointers, depth=4),
        first=inputs[0],
        fields="".join(f"    {a.name}: {_type(str(a.type))}\n" for a in others),
        types=_lines(f"{x}: TensorType" for x in inputs),
        types_given=_several("tuple[{}]", "TensorType", len(outputs)),
        same=_several("({})", inputs[0], len(outputs)),
        tensors=_lines(f"{x}: torch.Tensor" for x in inputs),
        tensors_given=_several("tuple[{}]", "torch.Tensor", len(outputs)),
        call=_lines((_passed(a) for a in arguments), depth=12),
        buffers=_lines(f"{x}: trtdsl.Buffer" for x in (*inputs, *outputs)),
        arguments=", ".join((*inputs, *outputs)),
        parameters=_parameters(arguments),
    )


def _several(form: str, word: str, count: int) -> str:
    """The word, or a tuple of as many."""
    return form.format(", ".join([word] * count)) if count > 1 else word


def _converter_stub(name: str, operator: Any) -> str:
    return f'''
@trtdsl.converter(torch.ops.{name})
def {_identifier(name)}({_parameters(operator._schema.arguments)}):
    """What ``{name}`` computes, in layers."""
    raise NotImplementedError  # operators of Tensor, and the layers of trtdsl.ir
'''


def _lines(parts: Iterable[str], depth: int = 8) -> str:
    """A line for each part, with a comma behind it."""
    return f"\n{' ' * depth}".join(f"{part}," for part in parts)


def _parameters(arguments: Sequence[Any]) -> str:
    parts = []
    starred = False
    for a in arguments:
        if a.kwarg_only and not starred:
            starred = True
            parts.append("*")
        parts.append(a.name + (f"={a.default_value!r}" if a.has_default_value() else ""))
    return ", ".join(parts).replace("self", "x", 1) if parts[:1] == ["self"] else ", ".join(parts)


def _passed(argument: Any) -> str:
    is_tensor = "Tensor" in str(argument.type)
    value = _own(argument.name) if is_tensor else f"self.{argument.name}"
    if "List[" in str(argument.type):
        value = f"list({value})"
    return f"{argument.name}={value}" if argument.kwarg_only else value


def _own(name: str) -> str:
    """A tensor's name as a parameter, where ``self`` is the plugin."""
    return "x" if name == "self" else name


def _type(kind: str) -> str:
    if kind.startswith("Optional["):
        return f"{_type(kind[9:-1])} | None"
    return _TYPES.get(kind, "str")


def _identifier(name: str) -> str:
    _, operator, overload = name.split(".")
    return operator if overload == "default" else f"{operator}_{overload}".lower()


def _class(name: str) -> str:
    return "".join(word.capitalize() for word in _identifier(name).split("_"))
