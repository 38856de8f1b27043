"""Plugins as the layers that they stand for, where no kernel or not this GPU is there for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite

__all__ = ["without_others", "without_untaken"]


def without_untaken(network: Network) -> Network:
    """A network without the plugins whose kernel does not take the dtypes that it has."""
    return _expanded(network, lambda plugin, inputs: plugin.takes(*(x.type for x in inputs)))


def without_others(network: Network, capability: str) -> Network:
    """A network for GPUs of this compute capability, or of any: without the plugins of others."""
    return _expanded(network, lambda plugin, _: plugin.capability in ("", capability))


def _expanded(network: Network, stays: Callable[[Plugin, Sequence[Tensor]], bool]) -> Network:
    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if not isinstance(layer, Plugin) or stays(layer, inputs):
            return None
        outputs = layer.expand(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        named(outputs[0], operation)
        return outputs

    plugins = any(isinstance(operation.layer, Plugin) for operation in network.operations)
    return rewrite(network, rule) if plugins else network
