"""Behaviours of networks, their layers and tensors.

Shapes and dtypes are never inferred. The tensor of ``add_input`` has the ones it was given; the
output of a layer has a dtype once one is imposed on it (``set_output_type``, ``dtype =``) and no
shape: reading what is not there raises StandInError.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .behaviour import behaves
from .errors import RefusedError, StandInError
from .objects import StandInObject, StandInType, where

_OUTPUTS = {
    **dict.fromkeys(("ITopKLayer", "INMSLayer", "IDynamicQuantizeLayer"), 2),
    **dict.fromkeys(("IAssertionLayer", "IConditionLayer", "ITripLimitLayer"), 0),
    "IRNNv2Layer": 3,
}
_PROPERTIES = {
    "output_type": "to_type",
    "kernel_shape": "kernel_size_nd",
    "window_size": "window_size_nd",
    "pre_padding": "pre_padding_nd",
    "post_padding": "post_padding_nd",
}
"""The property that an argument of ``add_*`` sets, where its name is another."""
_LAYER_TYPES = {
    "IIfConditionalInputLayer": "CONDITIONAL_INPUT",
    "IIfConditionalOutputLayer": "CONDITIONAL_OUTPUT",
    "INonZeroLayer": "NON_ZERO",
}


def is_layer(kind: Any) -> bool:
    """Whether a class is ILayer's, or IAttention, which is a layer in all but its base."""
    return isinstance(kind, StandInType) and (
        kind.__name__ == "IAttention" or any(c.__name__ == "ILayer" for c in kind.__mro__)
    )


def strongly_typed(network: StandInObject) -> bool:
    """Whether the network is strongly typed: by its flag in 10.x, always from 11 on."""
    release = network.release
    return release.major >= 11 or "STRONGLY_TYPED" in network.state["flag_names"]


def start(network: StandInObject, flag_names: set[str], builder: StandInObject) -> None:
    """Make a new network what ``Builder.create_network`` returns."""
    network.state |= {"flag_names": flag_names, "builder": builder, "name": "Unnamed Network 0"}
    network.state |= {"inputs": [], "outputs": [], "layers": []}


def _tensor(network: StandInObject, name: str, **state: Any) -> StandInObject:
    tensor = network.release.new("ITensor")
    tensor.state |= {"network": network, "name": name, **state}
    return tensor


def _flat(values: Any) -> list[StandInObject]:
    """The tensors among arguments, lists of them included."""
    nested = [v if isinstance(v, list) else [v] for v in values]
    return [v for group in nested for v in group if type(v).__name__ == "ITensor"]


def add_layer(owner: StandInObject, kind: Any, arguments: Mapping[str, Any]) -> StandInObject:
    """A new layer of the network (or of its loop, or conditional), as ``add_*`` returns it."""
    network = owner
    while "layers" not in network.state:
        network = network.state["owner"]
    inputs = _flat(arguments.values())
    for tensor in inputs:
        _same_network(network, tensor)
    layer = network.release.new(kind.__name__)
    index = len(network.state["layers"])
    name = f"(Unnamed Layer* {index}) [{kind.__name__}]"
    given = {n: v for n, v in arguments.items() if v is not None}
    given |= {_PROPERTIES[n]: v for n, v in given.items() if n in _PROPERTIES}
    layer.state |= {n: v for n, v in given.items() if hasattr(kind, n)}
    layer.state |= {"network": network, "name": name, "metadata": "", "types": {}}
    layer.state["input_list"] = inputs
    layer.state["output_list"] = [
        _tensor(network, f"{name}_output_{i}", layer=layer) for i in range(_count(kind, given))
    ]
    network.state["layers"].append(layer)
    return layer


def _count(kind: Any, given: Mapping[str, Any]) -> int:
    if kind.__name__ == "IPluginV3Layer":
        return int(given["plugin"].state.get("num_outputs", 1))
    return _OUTPUTS.get(kind.__name__, 1)


def _same_network(network: StandInObject, tensor: StandInObject) -> None:
    if tensor.state["network"] is not network:
        raise StandInError(f"{where(type(network), 'add')}: {tensor.name!r} is another network's")


@behaves("INetworkDefinition.add_input")
def _add_input(self: StandInObject, name: str, dtype: Any, shape: Any) -> StandInObject:
    if any(t.state["name"] == name for t in self.state["inputs"]):
        raise StandInError(f"{where(type(self), 'add_input')}: there already is an input {name!r}")
    tensor = _tensor(self, name, dtype=dtype, shape=shape)
    self.state["inputs"].append(tensor)
    return tensor


@behaves("INetworkDefinition.mark_output")
def _mark_output(self: StandInObject, tensor: StandInObject) -> None:
    _same_network(self, tensor)
    if any(t is tensor for t in self.state["outputs"]):
        raise StandInError(f"{where(type(self), 'mark_output')}: {tensor.name!r} already is one")
    self.state["outputs"].append(tensor)


@behaves("INetworkDefinition.unmark_output")
def _unmark_output(self: StandInObject, tensor: StandInObject) -> None:
    self.state["outputs"] = [t for t in self.state["outputs"] if t is not tensor]


@behaves("INetworkDefinition.get_flag")
def _get_flag(self: StandInObject, flag: Any) -> bool:
    return flag.name in self.state["flag_names"]


@behaves("INetworkDefinition.flags.get")
def _flags(self: StandInObject) -> int:
    members = self.release.module.NetworkDefinitionCreationFlag.__members__
    return sum(1 << int(members[name]) for name in self.state["flag_names"])


@behaves("INetworkDefinition.has_implicit_batch_dimension.get")
def _implicit_batch(self: StandInObject) -> bool:
    return False


@behaves("INetworkDefinition.num_layers.get", "INetworkDefinition.__len__")
def _num_layers(self: StandInObject) -> int:
    return len(self.state["layers"])


@behaves("INetworkDefinition.num_inputs.get")
def _num_network_inputs(self: StandInObject) -> int:
    return len(self.state["inputs"])


@behaves("INetworkDefinition.num_outputs.get")
def _num_network_outputs(self: StandInObject) -> int:
    return len(self.state["outputs"])


@behaves("INetworkDefinition.get_layer")
def _get_layer(self: StandInObject, index: int) -> StandInObject:
    return self.state["layers"][index]


@behaves("INetworkDefinition.__getitem__")
def _item(self: StandInObject, arg0: int) -> StandInObject:
    return self.state["layers"][arg0]


@behaves("INetworkDefinition.get_input")
def _get_network_input(self: StandInObject, index: int) -> StandInObject:
    return self.state["inputs"][index]


@behaves("INetworkDefinition.get_output")
def _get_network_output(self: StandInObject, index: int) -> StandInObject:
    return self.state["outputs"][index]


@behaves("ILayer.num_inputs.get", "IAttention.num_inputs.get")
def _num_inputs(self: StandInObject) -> int:
    return len(self.state["input_list"])


@behaves("ILayer.num_outputs.get", "IAttention.num_outputs.get")
def _num_outputs(self: StandInObject) -> int:
    return len(self.state["output_list"])


@behaves("ILayer.get_input", "IAttention.get_input")
def _get_input(self: StandInObject, index: int) -> StandInObject | None:
    inputs = self.state["input_list"]
    return inputs[index] if 0 <= index < len(inputs) else None


@behaves("ILayer.get_output", "IAttention.get_output")
def _get_output(self: StandInObject, index: int) -> StandInObject | None:
    outputs = self.state["output_list"]
    return outputs[index] if 0 <= index < len(outputs) else None


@behaves("ILayer.set_input", "IAttention.set_input")
def _set_input(self: StandInObject, index: int, tensor: StandInObject) -> bool | None:
    _same_network(self.state["network"], tensor)
    inputs = self.state["input_list"]
    inputs += [None] * (index + 1 - len(inputs))
    inputs[index] = tensor
    return True if type(self).__name__ == "IAttention" else None


@behaves("ILayer.type.get")
def _layer_type(self: StandInObject) -> Any:
    if "type" in self.state:
        return self.state["type"]
    kind = type(self).__name__
    members = self.release.module.LayerType.__members__
    wanted = _LAYER_TYPES.get(kind, kind.removeprefix("I").removesuffix("Layer").upper())
    for name, member in members.items():
        if name.replace("_", "") == wanted.replace("_", ""):
            return member
    raise StandInError(f"{where(type(self), 'type')}: the stand-in does not know this layer's type")


def _weakly_typed(self: StandInObject, member: str) -> None:
    if strongly_typed(self.state["network"]):
        raise RefusedError(f"{where(type(self), member)}: the network is strongly typed")


@behaves("ILayer.precision.set")
def _precision(self: StandInObject, value: Any) -> None:
    _weakly_typed(self, "precision")


@behaves("ILayer.precision_is_set.get")
def _precision_is_set(self: StandInObject) -> bool:
    return "precision" in self.state


@behaves("ILayer.reset_precision")
def _reset_precision(self: StandInObject) -> None:
    self.state.pop("precision", None)


@behaves("ILayer.set_output_type")
def _set_output_type(self: StandInObject, index: int, dtype: Any) -> None:
    _weakly_typed(self, "set_output_type")
    self.state["types"][index] = dtype
    self.state["output_list"][index].state["dtype"] = dtype


@behaves("ILayer.output_type_is_set")
def _output_type_is_set(self: StandInObject, index: int) -> bool:
    return index in self.state["types"]


@behaves("ILayer.get_output_type")
def _get_output_type(self: StandInObject, index: int) -> Any:
    return self.state["output_list"][index].dtype


@behaves("ITensor.dtype.set")
def _tensor_dtype(self: StandInObject, value: Any) -> None:
    if "layer" in self.state:
        _weakly_typed(self, "dtype")


@behaves("ITensor.is_network_input.get")
def _is_input(self: StandInObject) -> bool:
    return any(t is self for t in self.state["network"].state["inputs"])


@behaves("ITensor.is_network_output.get")
def _is_output(self: StandInObject) -> bool:
    return any(t is self for t in self.state["network"].state["outputs"])
