"""``prepared_for``: a network as a TensorRT release takes it."""

from __future__ import annotations

from typing import Any

from trtdsl.network import Network
from trtdsl.passes.apart import written_apart
from trtdsl.passes.channel_scales import channel_scales
from trtdsl.passes.exact_integers import exact_integers
from trtdsl.passes.half_squares import scaled_squares
from trtdsl.passes.infinities import infinities
from trtdsl.passes.joined import turned_by_products
from trtdsl.passes.late_casts import unrounded
from trtdsl.passes.parts import in_parts
from trtdsl.passes.patches import in_patches
from trtdsl.passes.rows import in_rows
from trtdsl.passes.shared import shared
from trtdsl.passes.weakly_typed import without_casts
from trtdsl.passes.wide_bytes import wide_bytes
from trtdsl.tensorrt_api import is_strongly_typed

__all__ = ["prepared_for"]


def prepared_for(network: Network, trt: Any) -> Network:
    """The network as this release takes it, and computes it right."""
    network = wide_bytes(network)
    if is_strongly_typed(trt):
        return channel_scales(network)
    network = in_rows(in_parts(in_patches(unrounded(network))))
    network = turned_by_products(without_casts(channel_scales(network)))
    network = infinities(exact_integers(scaled_squares(network)))
    return written_apart(shared(network))
