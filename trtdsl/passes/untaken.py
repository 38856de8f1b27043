"""``without_untaken``: no plugin whose kernel does not take the dtypes that the network has."""

from __future__ import annotations

from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["without_untaken"]


def without_untaken(network: Network) -> Network:
    """Plugins that do not take their inputs, as the layers that they stand for."""

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if not isinstance(layer, Plugin) or layer.takes(*(x.type for x in inputs)):
            return None
        outputs = layer.expand(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        named(outputs[0], operation)
        return outputs

    return rewrite(network, rule) if _plugins(network) else network


def _plugins(network: Network) -> bool:
    return any(isinstance(operation.layer, Plugin) for operation in network.operations)
