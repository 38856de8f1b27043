"""Keys of the cache: a digest of all that decides what TensorRT builds.

The network with its weights' values, every name and place that ends in the engine, the options,
trtdsl's own code that lowers the network, and the TensorRT, GPU and driver that it is built for.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtdsl.ir.constant import Constant, Weights
from trtdsl.ir.constant import digest as value_of
from trtdsl.ir.plugin import Plugin
from trtdsl.network import Network

if TYPE_CHECKING:
    from trtdsl.network import Tensor
    from trtdsl.runtime.device import Gpu

__all__ = ["KeylessError", "engine_key", "timing_key"]

_PACKAGE = Path(__file__).parent


class KeylessError(Exception):
    """A layer has an attribute, or a class, whose meaning no digest can hold."""


def timing_key(tensorrt: str, gpu: Gpu) -> str:
    """The key of TensorRT's timings: they hold for every network on such a GPU."""
    return _Digest().add("timing", _machine(tensorrt, gpu)).hexdigest()


def engine_key(network: Network, options: Mapping[str, Any], tensorrt: str, gpu: Gpu) -> str:
    """The key of an engine. Errors: KeylessError."""
    digest = _Digest().add("engine", _machine(tensorrt, gpu), options, _code(), _torch())
    _add_network(digest, network)
    return digest.hexdigest()


def _machine(tensorrt: str, gpu: Gpu) -> dict[str, str]:
    """What timings and engines are made for; a driver counts by the major CUDA that it serves."""
    return {
        "tensorrt": tensorrt,
        "gpu": gpu.name,
        "compute capability": gpu.compute_capability,
        "driver": gpu.cuda.partition(".")[0],
    }


def _torch() -> str:
    """Constants are folded by PyTorch."""
    import torch

    return str(torch.__version__)


@cache
def _code() -> str:
    """A digest of trtdsl's own code: a changed lowering makes another engine."""
    digest = _Digest()
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.add(str(path.relative_to(_PACKAGE)), path.read_bytes())
    return digest.hexdigest()


def _add_network(digest: _Digest, network: Network) -> None:
    numbers: dict[Tensor, int] = {}
    digest.add(network.symbols, network.state)
    for x in network.inputs:
        numbers[x] = len(numbers)
        digest.add("input", x.name, x.type)
    for operation in network.operations:
        digest.add(operation.name, str(operation.source), _class(type(operation.layer)))
        digest.add(operation.layer, [numbers[x] for x in operation.inputs])
        if isinstance(operation.layer, Plugin):
            cls = operation.layer
            digest.add("plugin", cls.version, cls.kernel, cls.ahead_of_time, cls.aliases)
        for x in operation.outputs:
            numbers[x] = len(numbers)
            digest.add(x.name, x.type)
    digest.add({name: numbers[x] for name, x in network.numbers.items()})
    digest.add("outputs", [numbers[x] for x in network.outputs])
    digest.add("settled", _settled(network))


def _settled(network: Network) -> dict[str, str]:
    """What decided the layers and is in none of them: a refit asks whether it is still the same.

    What a lowering reads of the constants is settled then, and so not yet at every time.
    """
    layers = (operation.layer for operation in network.operations)
    held = {layer.weights.name for layer in layers if isinstance(layer, Constant)}
    return {k: value_of(w.tensor) for k, w in network.settled.items() if k not in held}


@cache
def _class(cls: type) -> str:
    """A layer's class; with a digest of its module, and its kernel, where it is not trtdsl's."""
    name = f"{cls.__module__}.{cls.__qualname__}"
    try:
        path = Path(inspect.getfile(cls))
        if path.is_relative_to(_PACKAGE):
            return name
        kernels = [p for p in (path.with_suffix(".cu"),) if p.exists()]
        return _Digest().add(name, *(p.read_bytes() for p in (path, *kernels))).hexdigest()
    except (OSError, TypeError) as error:
        raise KeylessError(f"the code of {name} cannot be read: {error}") from error


class _Digest:
    """sha256 over values of many kinds; different values never read the same."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._weights: list[Weights] = []

    def add(self, *values: Any) -> _Digest:
        """Take values in. Errors: KeylessError for one of a kind that is not known."""
        for value in values:
            self._add(value)
        return self

    def hexdigest(self) -> str:
        """The digest of all that was taken in: weights' values last, by threads."""
        if self._weights:
            with ThreadPoolExecutor() as pool:
                self.add(*pool.map(value_of, (w.tensor for w in self._weights)))
            self._weights.clear()
        return self._hash.hexdigest()

    def _add(self, value: Any) -> None:
        match value:
            case None | bool() | int() | float() | str():
                self._write(repr(value).encode())
            case bytes():
                self._write(b"bytes", value)
            case Enum():
                self._write(b"enum", f"{type(value).__qualname__}.{value.name}".encode())
            case Network():
                _add_network(self, value)
            case Weights():
                self._add_weights(value)
            case Mapping():
                self._add(sorted(value.items()))
            case Sequence():
                self._write(b"sequence", str(len(value)).encode())
                self.add(*value)
            case _ if is_dataclass(value) and not isinstance(value, type):
                self._write(b"fields", type(value).__qualname__.encode())
                self.add(*((f.name, getattr(value, f.name)) for f in fields(value)))
            case _ if hasattr(value, "free_symbols"):
                import sympy

                self._write(b"size", sympy.srepr(value).encode())
            case _:
                raise KeylessError(f"{value!r} is a {type(value).__qualname__}, which has no key")

    def _add_weights(self, weights: Weights) -> None:
        self._write(b"weights")
        self.add(weights.name, weights.type)
        self._weights.append(weights)

    def _write(self, *parts: Any) -> None:
        for part in parts:
            view = memoryview(part)
            self._hash.update(f"{view.nbytes}:".encode())
            self._hash.update(view)
