"""``with_followers``: plugins that do too what a layer does that alone reads them."""

from __future__ import annotations

from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.rewrite import named, rewrite, uses

__all__ = ["with_followers"]


def with_followers(network: Network) -> Network:
    """A network that computes the same, with ``followed_by`` of the plugins that have it."""
    plugins = any(isinstance(operation.layer, Plugin) for operation in network.operations)
    counts = uses(network)

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        if len(inputs) != 1 or counts[operation.inputs[0]] > 1:
            return None
        before = inputs[0].producer
        if before is None or not isinstance(before.layer, Plugin):
            return None
        both = before.layer.followed_by(operation.layer)
        return None if both is None else (named(both(*before.inputs), operation),)

    return rewrite(network, rule) if plugins else network
