"""Behaviours of named weights and of Refitter, which a stand-in engine's ``weights`` are set by.

An ``ICudaEngine`` for it is one whose ``state`` has ``weights``: arrays by name, those of the
network that ``named`` lists; and ``merged``: sets of names of which TensorRT wants all or none.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .behaviour import behaves
from .objects import StandInObject

__all__ = ["engine_of", "named"]


def named(network: StandInObject) -> dict[str, Any]:
    """The weights of a network by the name that ``set_weights_name`` gave them, as copies."""
    weights = network.state.get("named", {})
    return {name: _array(w).copy() for name, w in weights.items()}


def engine_of(network: StandInObject, *merged: set[str]) -> StandInObject:
    """An engine that holds a network's named weights."""
    engine: StandInObject = network.release.new("ICudaEngine")
    engine.state |= {"weights": named(network), "merged": merged}
    return engine


@behaves("INetworkDefinition.set_weights_name")
def _set_weights_name(self: StandInObject, weights: StandInObject, name: str) -> bool:
    known = self.state.setdefault("named", {})
    at = [w for w in known.values() if w.state["ptr"] == weights.state["ptr"]]
    if name in known or any(w.state["size"] != weights.state["size"] for w in at):
        return False
    known[name] = weights
    return True


@behaves("Refitter.__init__")
def _refitter(self: StandInObject, engine: StandInObject, logger: StandInObject) -> None:
    self.state |= {"engine": engine, "given": {}}


@behaves("Refitter.get_all_weights")
def _all(self: StandInObject) -> list[str]:
    return list(self.state["engine"].state["weights"])


@behaves("Refitter.get_missing_weights")
def _missing(self: StandInObject) -> list[str]:
    given = self.state["given"].keys()
    groups = self.state["engine"].state["merged"]
    return sorted(name for group in groups if group & given for name in group - given)


@behaves("Refitter.set_named_weights")
def _set(self: StandInObject, name: str, weights: StandInObject, location: Any = None) -> bool:
    old = self.state["engine"].state["weights"].get(name)
    new = _array(weights)
    if old is None or (old.size, old.dtype) != (new.size, new.dtype):
        return False
    self.state["given"][name] = weights
    return True


@behaves("Refitter.refit_cuda_engine")
def _refit(self: StandInObject) -> bool:
    if _missing(self):
        return False
    # The memory is read now, not when it was given.
    values = {name: _array(w).copy() for name, w in self.state["given"].items()}
    self.state["engine"].state["weights"] |= values
    return True


def _array(weights: StandInObject) -> Any:
    array = weights.state["array"]
    if array is not None:
        return array.reshape(-1)
    import ctypes

    size = weights.state["size"] * 2  # bfloat16, of which numpy knows the bits only
    data = (ctypes.c_char * size).from_address(weights.state["ptr"])
    return np.frombuffer(data, np.int16)
