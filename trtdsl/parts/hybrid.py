"""``Hybrid``: a model that runs in engines, and in PyTorch between them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import torch

from trtdsl.engine import Engine
from trtdsl.errors import ConversionError, explain
from trtdsl.parts.moved import Movable, storage_of
from trtdsl.parts.outline import Break, Outline, counted
from trtdsl.parts.sizing import Measure
from trtdsl.reference import Reference, as_numpy, from_numpy
from trtdsl.runtime.interop import adopt, is_foreign
from trtdsl.signature import Signature, check_device, kind_of
from trtdsl.tree import Tree

__all__ = ["EnginePiece", "Hybrid", "TorchPiece"]


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """What runs next: the values and numbers that it takes, in order, and those it gives."""

    inputs: tuple[str, ...]
    numbers: tuple[str, ...]
    outputs: tuple[str, ...]
    measures: tuple[Measure, ...]
    """How numbers become known that neither a size of the model's inputs nor another piece told."""
    last: frozenset[str]
    """The values that nothing needs any more."""


@dataclass(frozen=True, kw_only=True)
class EnginePiece(_Piece):
    """A piece in an engine; complex tensors are pairs there, and a number the size of an input."""

    engine: Engine | Reference
    complex_inputs: frozenset[str]
    complex_outputs: frozenset[str]

    def run(self, values: Mapping[str, Any], sizes: Mapping[str, Any], device: Any) -> list[Any]:
        given = [self._given(values[name], name, device) for name in self.inputs]
        for name in self.numbers:
            given.append(torch.empty(sizes[name], dtype=torch.bool, device=device))
        found = zip(self.engine(*given), self.outputs, strict=True)
        return [torch.view_as_complex(y) if n in self.complex_outputs else y for y, n in found]

    def _given(self, x: torch.Tensor, name: str, device: torch.device) -> torch.Tensor:
        if name in self.complex_inputs:
            x = torch.view_as_real(x.resolve_conj())
        return x.resolve_neg().to(device).contiguous()


@dataclass(frozen=True, kw_only=True)
class TorchPiece(_Piece):
    """A piece in PyTorch, on the device of the inputs."""

    module: Movable
    order: tuple[tuple[bool, str], ...]
    """``inputs`` and ``numbers`` as the module takes them; whether each is a number."""

    def run(self, values: Mapping[str, Any], sizes: Mapping[str, Any], device: Any) -> list[Any]:
        given = (sizes[name] if is_number else values[name] for is_number, name in self.order)
        return list(self.module.on(device)(*given))


class Hybrid:
    """A callable that answers as the model does: engines, with PyTorch between them.

    What ``convert(..., fallback="torch")`` gives where an engine cannot compute the whole model.
    Takes CUDA tensors (nothing is copied; all is queued on torch's current stream), numpy arrays,
    which are copied to the GPU and back, or arrays of other libraries; without a GPU, CPU tensors
    and numpy arrays. Outputs have their own memory. ``print`` shows the pieces in their order.

    - ``breaks``: each operator that runs in PyTorch, where it stands in the model, and why
    - ``engines``: those that run the rest, in their order

    Errors: RunError as of an engine; and what PyTorch raises for the operators that it runs.
    """

    def __init__(
        self,
        *,
        name: str,
        signature: Signature,
        output_tree: Tree,
        pieces: Sequence[EnginePiece | TorchPiece],
        inputs: Sequence[str],
        symbols: Mapping[str, str],
        outputs: Sequence[str],
        constants: Mapping[str, torch.Tensor],
        outline: Outline,
        device: str | None,
    ) -> None:
        self.signature = signature
        self.pieces = tuple(pieces)
        self._outline = outline
        self._name = name
        self._output_tree = output_tree
        self._inputs = tuple(inputs)
        self._symbols = dict(symbols)
        self._outputs = tuple(outputs)
        self._constants = {k: v.detach().clone() for k, v in constants.items()}
        self._device = device

    @property
    def breaks(self) -> tuple[Break, ...]:
        """Each operator that PyTorch has to run, and why."""
        return self._outline.breaks

    @property
    def engines(self) -> tuple[Engine | Reference, ...]:
        """The engines, in the order in which they run."""
        return tuple(p.engine for p in self.pieces if isinstance(p, EnginePiece))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The model's answer, nested as the model's own. Errors: RunError."""
        leaves = self.signature.bind(args, kwargs)
        index = torch.device(self._device or "cpu").index
        if index is not None and any(map(is_foreign, leaves)):
            leaves = adopt(leaves, index)
        sizes = self.signature.check(leaves)
        if kind_of(leaves) == "torch":
            where = self._device or (str(leaves[0].device) if leaves else "cpu")
            check_device(self.signature.inputs, leaves, where)
            return self._output_tree.unflatten(self._run(leaves, sizes, torch.device(where)))
        device = torch.device(self._device or "cpu")
        outputs = self._run([from_numpy(x).to(device) for x in leaves], sizes, device)
        arrays = [as_numpy(y.cpu(), f"output {i}") for i, y in enumerate(outputs)]
        return self._output_tree.unflatten(arrays)

    def _run(
        self, leaves: Sequence[torch.Tensor], given: Mapping[str, int], device: torch.device
    ) -> list[torch.Tensor]:
        sizes: dict[str, Any] = {symbol: given[name] for symbol, name in self._symbols.items()}
        values = dict(zip(self._inputs, leaves, strict=True))
        with _as_converted(device):
            for piece in self.pieces:
                for measure in piece.measures:
                    sizes[measure.symbol] = measure(values[measure.value])
                found = piece.run(values, sizes, device)
                values.update(zip(piece.outputs, found, strict=True))
                for name in piece.last:
                    del values[name]
            values |= {name: value.to(device) for name, value in self._constants.items()}
            return self._own([values[name] for name in self._outputs], leaves)

    def _own(
        self, outputs: Sequence[torch.Tensor], leaves: Sequence[torch.Tensor]
    ) -> list[torch.Tensor]:
        """The outputs, contiguous and with memory that nothing else has."""
        torch_pieces = (p for p in self.pieces if isinstance(p, TorchPiece))
        kept = (*leaves, *self._constants.values())
        shared = {storage_of(x) for x in kept}.union(*(p.module.memory for p in torch_pieces))
        own = []
        for y in outputs:
            y = y.resolve_conj().resolve_neg().contiguous()
            y = y.clone() if storage_of(y) in shared else y
            shared.add(storage_of(y))
            own.append(y)
        return own

    def __repr__(self) -> str:
        return f"Hybrid({self._name}: {self._outline.summary})"

    def __str__(self) -> str:
        return str(self._outline)

    def save(self, path: str | os.PathLike[str]) -> NoReturn:
        """Raise ConversionError: what PyTorch runs is the model's own code, and has no file."""
        raise ConversionError(
            explain(
                f"PyTorch runs {counted(len(self.breaks), 'operator')} of {self._name}, which no "
                f"engine file holds, so nothing is written to {path}",
                at=self.breaks[0].source.line if self.breaks else None,
                fix="convert again where it runs: its engines are in the cache. Or register "
                "converters or plugins for these operators, and convert without fallback",
            )
        )


@contextmanager
def _as_converted(device: torch.device) -> Iterator[None]:
    """As the model was captured, whatever holds around a call; and on its GPU, for own kernels."""
    on = torch.cuda.device(device) if device.type == "cuda" else nullcontext()
    with torch.no_grad(), torch.autocast(device.type, enabled=False), on:
        yield
