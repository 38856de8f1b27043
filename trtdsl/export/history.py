"""What one call of a module leaves to the next: attributes, lists, and Python's random numbers.

torch.export takes a module as it is before its first call, and drops what a call writes to its
attributes, to those of objects in them, to globals and to buffers of its submodules. Most of that
is harmless (features that a hook collects, tables computed once), so a module that writes is called
twice, and refused where its second answer depends on the first call.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from trtdsl.errors import ConversionError, explain
from trtdsl.export.snapshot import restored, snapshot
from trtdsl.export.unchecked import UncheckedWarning

__all__ = ["History", "refuse_history"]

_Call = Callable[[Sequence[torch.Tensor]], Sequence[Any]]
_RANDOM = "Python's random", "numpy.random"


@dataclass
class History:
    """The names of what the calls of a module have changed, by its own words."""

    changed: dict[str, None] = field(default_factory=dict)

    @contextmanager
    def recorded(self, model: nn.Module) -> Iterator[None]:
        """Inside, the module is called."""
        before, drawn = snapshot(model), _random_states()
        yield
        for kept in before:
            self.changed.update(dict.fromkeys(kept.changes()))
        for source, old, new in zip(_RANDOM, drawn, _random_states(), strict=True):
            if old != new:
                self.changed[source] = None


def refuse_history(
    model: nn.Module, history: History, call: _Call, inputs: Sequence[torch.Tensor]
) -> None:
    """Refuse a module whose answer depends on the calls before.

    Inputs: ``call`` calls it with ``inputs`` and gives the tensors and values of its answer.
    Errors: ConversionError. Where it cannot be called, an UncheckedWarning says so.
    """
    changed = [n for n in history.changed if n not in _RANDOM] or list(history.changed)
    if not changed:
        return
    what = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
    depends = _depends_on_history(model, call, inputs)
    if isinstance(depends, Exception):
        warnings.warn(
            f"the model changes {what} when it is called, and an engine keeps no state between "
            f"calls; whether answers depend on it is unknown: {type(depends).__name__}: {depends}",
            UncheckedWarning,
            stacklevel=2,
        )
        return
    if not depends:
        return
    drawn = changed[0] in _RANDOM
    raise ConversionError(
        explain(
            f"the model draws from {what}, and an engine would repeat what was drawn once"
            if drawn
            else f"the model's answer depends on the calls before, by {what}, and an engine keeps "
            "no state between calls",
            fix="draw the numbers outside of the model, and pass them as an input"
            if drawn
            else "return the new value as an output, and pass the old one as an input",
        )
    )


def _depends_on_history(
    model: nn.Module, call: _Call, inputs: Sequence[torch.Tensor]
) -> bool | Exception:
    """Whether earlier calls count; the model's own error where it takes no other input.

    Whole numbers in another order may be refused, as lengths that are to descend are.
    """
    others = [_varied(x) for x in inputs]
    kept = [y if x.is_floating_point() else x for x, y in zip(inputs, others, strict=True)]
    try:
        return _depends(model, call, inputs, others)
    except Exception:
        try:
            return _depends(model, call, inputs, kept)
        except Exception as error:
            return error


def _depends(
    model: nn.Module, call: _Call, inputs: Sequence[torch.Tensor], other: Sequence[torch.Tensor]
) -> bool:
    """Whether a module answers the other input differently after it was called with this one."""
    answers = []
    tensors = (*inputs, *model.parameters(), *model.buffers())
    gpus = sorted({x.device.index for x in tensors if x.is_cuda})
    with _same_random_numbers_after(gpus), torch.no_grad():
        for earlier in ([], [inputs]):
            with restored(model), _own_buffers(model):
                for x in (*earlier, other):
                    _seed(gpus)
                    answer = call([t.clone() for t in x])
            answers.append(answer)
    return len(answers[0]) != len(answers[1]) or not all(map(_same, *answers))


@contextmanager
def _same_random_numbers_after(gpus: Sequence[int]) -> Iterator[None]:
    """Leave all random numbers that are drawn from now on as they were."""
    numpy = sys.modules.get("numpy")
    state, drawn = random.getstate(), numpy and numpy.random.get_state()
    try:
        with torch.random.fork_rng(devices=gpus):
            yield
    finally:
        random.setstate(state)
        if numpy:
            numpy.random.set_state(drawn)


def _seed(gpus: Sequence[int]) -> None:
    """Seed the generators in use, and no others, as ``torch.manual_seed`` would."""
    torch.default_generator.manual_seed(0)
    for gpu in gpus:
        torch.cuda.default_generators[gpu].manual_seed(0)


@contextmanager
def _own_buffers(model: nn.Module) -> Iterator[None]:
    """Give a module copies of its buffers, which a call may then write to."""
    for module in model.modules():
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else buffer.clone()
    yield


def _varied(x: torch.Tensor) -> torch.Tensor:
    """Another input that is as valid: the same values, in another order."""
    moved = x.detach().reshape(-1).roll(1).reshape(x.shape)
    return moved / 2 if x.is_floating_point() else moved


def _same(a: Any, b: Any) -> bool:
    if not (isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor)):
        return type(a) is type(b) and bool(a == b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not (a.is_floating_point() or a.is_complex()):
        return torch.equal(a, b)
    finite = a[a.isfinite()].abs()
    scale = float(finite.max()) if finite.numel() else 0.0
    # On a GPU the same call may take other kernels the next time, and TF32 in them.
    tolerance = max(1e-3 if a.is_cuda else 1e-5, 8 * torch.finfo(a.dtype).eps)
    return torch.allclose(a, b, rtol=tolerance, atol=tolerance * scale, equal_nan=True)


def _random_states() -> tuple[Any, Any]:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return random.getstate(), None
    name, keys, *rest = numpy.random.get_state()
    return random.getstate(), (name, keys.tobytes(), *rest)
