"""``shared``: what several modules compute alike of the same is computed once.

All attentions of a model turn its one mask into summands, and look for queries without a key;
TensorRT 8.6 was seen to run that again for each of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from trtdsl.extension.library import LibraryPlugin
from trtdsl.ir.base import Layer
from trtdsl.ir.cast import Identity
from trtdsl.ir.constant import Constant
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import Keep, rewrite

__all__ = ["shared"]

_SMALL = 64
"""Elements of a nameless constant that is compared by value."""


def shared(network: Network) -> Network:
    """A network that computes the same, without the second of two equal layers of the same inputs.

    The first one's name and place stay. Plugins are left alone, whose kernels are the user's, and
    so are layers that decide sizes or hold networks.
    """
    made: dict[Hashable, Sequence[Tensor]] = {}

    def kept(operation: Operation, inputs: tuple[Tensor, ...], keep: Keep) -> Sequence[Tensor]:
        key = _key(operation.layer, inputs)
        if key is None:
            return keep()
        if key not in made:
            made[key] = keep()
        return made[key]

    return rewrite(network, lambda *_: None, kept=kept)


def _key(layer: Layer, inputs: tuple[Tensor, ...]) -> Hashable | None:
    """What two operations that compute the same have in common; None for one that is its own."""
    if isinstance(layer, Plugin | LibraryPlugin | Identity) or layer.decides or layer.networks:
        return None
    if isinstance(layer, Constant):
        weights = layer.weights
        if weights.name is not None or weights.tensor.numel() > _SMALL:
            return None
        return str(weights.type), repr(weights.tensor.tolist())
    try:
        hash(layer)
    except TypeError:  # a layer of the user's, with a list or a dict among its attributes
        return None
    return layer, inputs
