"""``prepared_for``: a network as a TensorRT release takes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from trtdsl.ir.repeat import Repeat
from trtdsl.network import Network, Operation, Tensor
from trtdsl.passes.added_lengths import of_added_lengths
from trtdsl.passes.batches_of_one import in_batches_of_one
from trtdsl.passes.channel_scales import channel_scales
from trtdsl.passes.decided_slices import decided_slices
from trtdsl.passes.exact_integers import exact_integers
from trtdsl.passes.followed import with_followers
from trtdsl.passes.half_squares import scaled_squares
from trtdsl.passes.idle_moves import without_idle_moves
from trtdsl.passes.infinities import infinities
from trtdsl.passes.one_order import in_one_order
from trtdsl.passes.other_words import has_other_words, in_other_words
from trtdsl.passes.parts import in_parts
from trtdsl.passes.patches import in_patches
from trtdsl.passes.rewrite import named, rewrite
from trtdsl.passes.rows import in_rows
from trtdsl.passes.shared import shared
from trtdsl.passes.single_rows import without_single_rows
from trtdsl.passes.summed import with_sums
from trtdsl.passes.turned import turned_before
from trtdsl.passes.weakly_typed import without_casts
from trtdsl.passes.wide_bytes import wide_bytes
from trtdsl.tensorrt_api import is_strongly_typed

__all__ = ["prepared_for", "reworded"]


def prepared_for(network: Network, trt: Any) -> Network:
    """The network as this release takes it, and computes it right."""
    network = with_followers(wide_bytes(network))
    if is_strongly_typed(trt):
        return _and_loops(channel_scales, with_sums(network))
    network = with_sums(without_idle_moves(in_one_order(in_rows(in_parts(in_patches(network))))))
    return _and_loops(_computed_right, network)


def reworded(network: Network) -> Network:
    """What TensorRT 8.6 could not build, as other layers; itself where there are none."""
    changes = has_other_words(network.everywhere())
    return _and_loops(in_other_words, network) if changes else network


def _computed_right(network: Network) -> Network:
    """The network in layers that TensorRT 8.6 computes as they are meant, and fuses."""
    network = without_casts(channel_scales(decided_slices(network)))
    network = infinities(exact_integers(scaled_squares(network)))
    network = turned_before(shared(network))
    return of_added_lengths(without_single_rows(in_batches_of_one(network)))


def _and_loops(change: Callable[[Network], Network], network: Network) -> Network:
    """A network changed, with the networks that its loops repeat."""

    def rule(operation: Operation, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        layer = operation.layer
        if not isinstance(layer, Repeat):
            return None
        condition = None if layer.condition is None else _and_loops(change, layer.condition)
        body = _and_loops(change, layer.body)
        outputs = replace(layer, body=body, condition=condition).outputs(*inputs)
        named(outputs[0], operation)
        return outputs

    changed = change(network)
    loops = any(isinstance(operation.layer, Repeat) for operation in changed.operations)
    return rewrite(changed, rule) if loops else changed
