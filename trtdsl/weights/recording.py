"""The recipes of a network's weights, recorded while it was lowered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from trtdsl.ir.constant import Constant, digest
from trtdsl.ir.fake_quantize import FakeQuantize
from trtdsl.reference import fold
from trtdsl.weights.recipe import Apply, Fixed, Key, Made, Node, Recipes, Value
from trtdsl.weights.recipe_json import is_known
from trtdsl.weights.state import StateKey

if TYPE_CHECKING:
    import torch

    from trtdsl.network import Network, Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["base_state", "record", "state_keys"]

_SMALL = 1 << 20
"""Bytes of a constant that is recorded though no key decides it: TensorRT may ask for it."""


def state_keys(network: Network) -> dict[str, StateKey]:
    """The keys of the model's ``state_dict``; a hand-written network has its named constants'."""
    if network.state:
        return dict(network.state)
    named = (_weights(operation.outputs[0]) for operation in network.operations)
    return {w.name: StateKey.of(w.name, w.tensor) for w in named if w is not None and w.name}


def base_state(network: Network) -> dict[str, torch.Tensor]:
    """What the weights are now, by the network's names, as copies on the CPU."""
    names = {key.weight for key in state_keys(network).values()}
    weights = (_weights(operation.outputs[0]) for operation in network.operations)
    return {
        w.name: w.tensor.detach().cpu().clone()
        for w in weights
        if w is not None and w.name is not None and w.name in names
    }


def _weights(tensor: Tensor) -> Any:
    layer = tensor.producer.layer if tensor.producer else None
    return layer.weights if isinstance(layer, Constant) else None


def record(network: Network, api: Api) -> Recipes:
    """The recipes of all weights that were lowered; names them in the TensorRT network.

    Weights that no key decides are recorded too while they are small. Call it after ``lower``.
    Source: INetworkDefinition.set_weights_name, mark_weights_refittable.
    """
    keys = state_keys(network)
    recorder = _Recorder({key.weight for key in keys.values()}, api.origins)
    weights: dict[str, Made] = {}
    taken: set[Any] = set()
    for placed in api.placed:
        place = (placed.value.data_ptr(), placed.value.numel(), placed.value.dtype)
        source = placed.source
        decided = source is not None and bool(recorder.keys_of(source))
        made = recorder.node_of(source) if decided and source is not None else None
        if place in taken or not (decided or placed.value.nbytes <= _SMALL):
            continue
        taken.add(place)
        name = _unique(source.name if source is not None else "constant", weights)
        node, output = made or recorder.value(placed.value)
        if api.name_weights(placed.weights, name, refittable=decided):
            dtype = str(placed.value.dtype).removeprefix("torch.")
            weights[name] = Made(node=node, output=output, dtype=dtype)
        elif decided and source is not None:
            recorder.fix(source, "TensorRT refused to name it")
    _fix_what_was_read(network, recorder)
    _fix_what_is_rounded(network, recorder)
    _fix_complex(network, recorder)
    _fix_what_is_settled(network, recorder)
    fixed = _fixed(network, recorder.fixed)
    return Recipes(keys=keys, nodes=tuple(recorder.nodes), weights=weights, fixed=fixed)


def _fixed(network: Network, places: Mapping[str, str]) -> dict[str, Fixed]:
    """Keys that cannot be changed, by where they ended, with their values' digests."""
    import torch

    held = _settled(network) | _held(network)
    for key in places:
        if {f"{key}.real", f"{key}.imag"} <= held.keys():
            held[key] = torch.complex(held[f"{key}.real"], held[f"{key}.imag"])
    return {
        key: Fixed(where=where, sha256=digest(held[key]) if key in held else "")
        for key, where in places.items()
    }


def _held(network: Network) -> dict[str, torch.Tensor]:
    """All constants that have a name, also of the networks within layers."""
    found = (_weights(y) for op in network.everywhere() for y in op.outputs)
    return {w.name: w.tensor for w in found if w is not None and w.name is not None}


def _fix_what_was_read(network: Network, recorder: _Recorder) -> None:
    """Note the keys whose values a lowering read itself, instead of handing them to TensorRT."""
    for operation in network.operations:
        if not all(x.is_constant for x in operation.outputs):
            for x in operation.inputs:
                if x.is_constant and x not in recorder.seen:
                    recorder.fix(x, operation.name)


def _fix_what_is_rounded(network: Network, recorder: _Recorder) -> None:
    """Note the weights whose scales no key decides: others would be cut at the largest of these."""
    for operation in network.everywhere():
        if isinstance(operation.layer, FakeQuantize):
            x, scale = operation.inputs
            if x.is_constant and not recorder.keys_of(scale):
                recorder.fix(x, f"{operation.name}, which has their scales")


def _fix_complex(network: Network, recorder: _Recorder) -> None:
    """Note the complex keys, of which a network holds the two parts under names of their own."""
    held = _held(network)
    for key in recorder.keys:
        if f"{key}.real" in held:
            recorder.fixed.setdefault(key, "the parts that a complex number is held as")


def _fix_what_is_settled(network: Network, recorder: _Recorder) -> None:
    """Note the weights that a converter read, to tell which layers there are."""
    for key in recorder.keys & _settled(network).keys():
        recorder.fixed.setdefault(key, "what the layers are, which its value decided")


def _settled(network: Network) -> dict[str, torch.Tensor]:
    inner = [n for op in network.everywhere() for n in op.layer.networks.values()]
    return {k: w.tensor for n in (network, *inner) for k, w in n.settled.items()}


def _unique(name: str, taken: Mapping[str, Any]) -> str:
    count, unique = 1, name
    while unique in taken:
        count += 1
        unique = f"{name}#{count}"
    return unique


class _Recorder:
    """The nodes so far. ``origins``: constants of expanded layers, and what they stand for."""

    def __init__(self, keys: set[str], origins: Mapping[Tensor, Tensor]) -> None:
        self.nodes: list[Node] = []
        self.fixed: dict[str, str] = {}
        self.seen: set[Tensor] = set()
        """The tensors of the network that reach TensorRT as weights."""
        self.keys = keys
        self._origins = origins
        self._places: dict[Tensor, tuple[int, int]] = {}
        self._decided: dict[Tensor, frozenset[str]] = {}

    def keys_of(self, tensor: Tensor) -> frozenset[str]:
        """The names of the model's tensors that decide this one."""
        for x in _ancestry(tensor, self._decided, self._origins):
            weights = _weights(x)
            own = {weights.name} & self.keys if weights is not None else set()
            read = (self._decided[y] for y in _read(x, self._origins))
            self._decided[x] = frozenset(own).union(*read)
        return self._decided[tensor]

    def node_of(self, tensor: Tensor) -> tuple[int, int]:
        """The place of a tensor that a key decides among the nodes, made where it is new."""
        self.seen.add(tensor)
        for x in _ancestry(tensor, self._places, self._origins):
            if x in self._origins:
                self.seen.add(self._origins[x])
                self._places[x] = self._places[self._origins[x]]
                continue
            self._add(x)
        return self._places[tensor]

    def value(self, tensor: torch.Tensor) -> tuple[int, int]:
        self.nodes.append(Value(tensor=tensor))
        return len(self.nodes) - 1, 0

    def fix(self, tensor: Tensor, where: str) -> None:
        """Note that the keys that decide a tensor cannot be changed any more."""
        for key in self.keys_of(tensor):
            self.fixed.setdefault(key, where)

    def _add(self, x: Tensor) -> None:
        operation = x.producer
        assert operation is not None, "a constant has a producer"
        weights = _weights(x)
        if not self.keys_of(x):
            self._places[x] = self.value(fold(x))
            return
        if weights is not None:
            self.nodes.append(Key(weight=weights.name))
        else:
            if not is_known(operation.layer):
                self.fix(x, operation.name)
                self._places[x] = self.value(fold(x))
                return
            inputs = tuple(self._places[y] for y in operation.inputs)
            self.nodes.append(Apply(layer=operation.layer, inputs=inputs))
        for output, y in enumerate(operation.outputs):
            self._places[y] = (len(self.nodes) - 1, output)


def _read(x: Tensor, origins: Mapping[Tensor, Tensor]) -> tuple[Tensor, ...]:
    if x in origins:
        return (origins[x],)
    return x.producer.inputs if x.producer else ()


def _ancestry(tensor: Tensor, known: Mapping[Tensor, Any], origins: Mapping[Tensor, Tensor]) -> Any:
    """The tensors that one is computed from and itself, each after those that it reads.

    The caller makes each ``known`` before it takes the next.
    """
    stack = [tensor]
    while stack:
        missing = [y for y in _read(stack[-1], origins) if y not in known]
        stack += missing
        if not missing:
            x = stack.pop()
            if x not in known:
                yield x
