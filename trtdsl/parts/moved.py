"""A module of PyTorch's own that is captured on one device and runs on any."""

from __future__ import annotations

import threading
from copy import deepcopy
from typing import Any

import torch
from torch.fx import GraphModule, Node

__all__ = ["Movable", "storage_of"]


class Movable:
    """A captured graph with weights of its own, copied to a device when it first runs there.

    What it did on the device that it was captured on, it does on the one that it runs on.
    """

    def __init__(self, module: GraphModule, captured: torch.device, device: torch.device) -> None:
        self.memory: frozenset[int] = frozenset()
        """The memory of the weights, for the outputs to keep off."""
        self._captured = captured
        self._lock = threading.Lock()
        self._copies: dict[torch.device, GraphModule] = {}
        self._first = self._made(module, device)

    def on(self, device: torch.device) -> GraphModule:
        """The module for a device."""
        with self._lock:
            return self._copies.get(device) or self._made(self._first, device)

    def _made(self, module: GraphModule, device: torch.device) -> GraphModule:
        copy = deepcopy(module).to(device)
        for part in copy.modules():
            if isinstance(part, GraphModule):
                for node in part.graph.nodes:
                    self._place(node, device)
                part.recompile()
        self._copies[device] = copy
        self.memory |= {storage_of(x) for x in (*copy.parameters(), *copy.buffers())}
        return copy

    def _place(self, node: Node, device: torch.device) -> None:
        """Have an operator make its tensor on a device."""
        places = {self._captured, *self._copies}
        places |= {torch.device(place.type) for place in places}

        def moved(value: Any) -> Any:
            if isinstance(value, torch.device):
                return device if value in places else value
            if isinstance(value, list | tuple):
                return type(value)(map(moved, value))
            return value

        node.args = moved(tuple(node.args))
        if str(node.target) == "wrap_with_autocast" and node.args[0] == self._captured.type:
            node.args = (device.type, *node.args[1:])
        node.kwargs = {k: moved(v) for k, v in node.kwargs.items()}
        schema = getattr(node.target, "_schema", None)
        takes = schema is not None and any(a.name == "device" for a in schema.arguments)
        tensors = any(isinstance(n.meta.get("val"), torch.Tensor) for n in node.all_input_nodes)
        if takes and not tensors and node.kwargs.get("device") is None:
            node.kwargs = {**node.kwargs, "device": device}


def storage_of(x: torch.Tensor) -> int:
    """What tells whether two tensors share memory."""
    return x.untyped_storage().data_ptr()
