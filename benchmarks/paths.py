"""The two ways from a model to an engine, what PyTorch answers, and the times of both engines."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

import trtdsl
from benchmarks.execution import Bare, on_gpu
from benchmarks.spread import Spread, in_turns, timed
from trtdsl import oracle
from trtdsl.build import BuildOptions
from trtdsl.engine import Engine
from trtdsl.errors import RunError
from trtdsl.onnx_export import OnnxModel
from trtdsl.tree import flatten

__all__ = ["Call", "Path", "compared", "onnx", "ours", "path", "relative_error"]


@dataclass(frozen=True, kw_only=True)
class Call:
    """A model on the CPU, in eval mode, and what it is called with."""

    model: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def leaves(self) -> list[torch.Tensor]:
        """The tensors among the inputs, in the order of an engine's inputs."""
        return list(flatten((self.args, dict(self.kwargs)))[0])

    def answer(self, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
        """PyTorch's outputs on the GPU, computed in a dtype; float32 without TF32."""
        model = copy.deepcopy(self.model).cuda().to(dtype)
        with torch.no_grad(), _full_float32():
            return self.on_gpu(model, dtype)

    def on_gpu(
        self, callee: Callable[..., Any], dtype: torch.dtype = torch.float32
    ) -> list[torch.Tensor]:
        """The outputs of a model or an engine for the inputs, moved to the GPU."""
        leaves, tree = flatten((self.args, dict(self.kwargs)))
        moved = [x.cuda().to(dtype) if x.is_floating_point() else x.cuda() for x in leaves]
        args, kwargs = tree.unflatten(moved)
        return list(flatten(callee(*args, **kwargs))[0])


@contextmanager
def _full_float32() -> Iterator[None]:
    """PyTorch's default for convolutions on a GPU is TF32."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.allow_tf32, matmul.allow_tf32
    cudnn.allow_tf32 = matmul.allow_tf32 = False
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32 = before


@dataclass(frozen=True, kw_only=True)
class Path:
    """One way from the model to an engine."""

    engine: Engine
    bare: Bare
    build_seconds: float

    def call(self) -> Callable[[], Any]:
        """A call of the engine from Python."""
        return partial(self.engine, *self.bare.inputs)


def ours(call: Call, precision: str) -> Engine:
    """The engine that trtdsl builds, with TensorRT's default options."""
    built = trtdsl.convert(
        call.model, call.args, dict(call.kwargs), precision=precision, backend="tensorrt"
    )
    assert isinstance(built, Engine)
    return built


def onnx(call: Call, precision: str) -> Engine:
    """The engine of TensorRT's ONNX parser, with the same options."""
    model = OnnxModel.of(call.model, call.args, dict(call.kwargs))
    return oracle.build_engine(model, BuildOptions(precision=precision))


def path(
    build: Callable[[Call, str], Engine], call: Call, precision: str, stream: torch.cuda.Stream
) -> Path:
    """An engine by ``ours`` or ``onnx``, ready to run on a stream."""
    seconds, engine = timed(build, call, precision)
    return Path(engine=engine, bare=Bare(engine, call.leaves, stream), build_seconds=seconds)


def compared(
    variants: Mapping[str, Callable[[], Any]], stream: torch.cuda.Stream, *, rounds: int = 30
) -> dict[str, Any]:
    """GPU seconds of ``trtdsl`` and ``onnx`` in turns, and the ratio of them, round by round."""
    readings = in_turns({name: on_gpu(queue, stream) for name, queue in variants.items()}, rounds)
    pairs = zip(readings["trtdsl"], readings["onnx"], strict=True)
    ratio = Spread.of([mine / theirs for mine, theirs in pairs])
    spreads = {name: asdict(Spread.of(samples)) for name, samples in readings.items()}
    return spreads | {"ratio": asdict(ratio)}


def relative_error(outputs: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> float:
    """``|output - expected| / |expected|`` in the 2-norm, the worst of the outputs.

    Infinities of one sign at one place agree. Errors: RunError for other outputs that are not
    finite, or that nothing but zeros is expected of.
    """
    errors = []
    for y, wanted in zip(outputs, expected, strict=True):
        same = torch.isinf(wanted) & (y == wanted)
        a, b = (x.double().masked_fill(same, 0.0) for x in (y, wanted))
        error = (a - b).norm() / b.norm()
        if not error.isfinite():
            raise RunError(f"the relative error is {error}: the output or the reference is no good")
        errors.append(float(error))
    return max(errors)
