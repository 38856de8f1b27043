"""``exported``: a module exported, in as many attempts as ``torch.export`` needs.

It has to prove by algebra that what it assumed of sizes holds in all of their ranges, and is no
good at ``(n + (256 - n % 256) % 256) // 256 == 1``. ``paths.hold`` tries all sizes, one by one:
what could not be proved is left to that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch._dynamo.exc import UserError, UserErrorType
from torch.export import ExportedProgram, _trace
from torch.fx.experimental.symbolic_shapes import ConstraintViolationError

from trtdsl.export.branches import Asked
from trtdsl.export.flat import Flat
from trtdsl.export.gradients import differentiated
from trtdsl.export.snapshot import restored
from trtdsl.export.symbolic_numbers import rounds_sizes, symbolic_numbers
from trtdsl.export.torch_forms import GRADIENTS

__all__ = ["exported"]

_SOLVE = "produce_guards_and_solve_constraints"
_NARROWER = " = Dim("
"""What it suggests where it knows in which range of sizes it is right."""
_FORWARD = "object has no attribute 'constant'"
"""What PyTorch fails with at forward derivatives within torch.vmap, as jacfwd takes them."""
_NO_DIM = ("Cannot create Dim with inconsistent", "Expected op to be '=='")
"""What PyTorch's own suggestion of other ranges, or of equations, fails with."""


def exported(
    flat: Flat,
    leaves: tuple[torch.Tensor, ...],
    specs: Sequence[Mapping[int, Any]],
    conditions: Asked,
) -> ExportedProgram:
    """The module exported for these inputs, whose axes vary as ``specs`` say.

    ``conditions`` are those of the attempt that is given. Errors: torch.export's own, of the first.
    """
    try:
        return _exported(flat, flat.model, leaves, specs, conditions)
    except (RuntimeError, AttributeError) as error:
        if not any(told in str(error) for told in (GRADIENTS, _FORWARD)):
            raise
    with restored(flat.model, leaves):
        module = differentiated(flat, leaves, specs)
    return _exported(module, flat.model, leaves, specs, conditions)


def _exported(
    module: nn.Module,
    model: nn.Module,
    leaves: tuple[torch.Tensor, ...],
    specs: Sequence[Mapping[int, Any]],
    conditions: Asked,
) -> ExportedProgram:
    shapes = {"leaves": tuple(specs)} if any(s for s in specs) else None

    def export(**options: Any) -> ExportedProgram:
        conditions.forget()
        with restored(model, leaves):
            return torch.export.export(
                module, leaves, dynamic_shapes=shapes, strict=False, **options
            )

    try:
        program, before = export(), replace(conditions)
        if rounds_sizes(program):
            with suppress(Exception), symbolic_numbers(model):
                return export()
        conditions.recall(before)
        return program
    except (UserError, AssertionError) as error:
        if not _is_unproved(error):
            raise
        before, found = replace(conditions), _deferred(export, model)
        if found is None and _NARROWER not in str(error):
            found = _assumed(export, model, specs, conditions)
        if found is None:
            conditions.recall(before)
            raise
        return found


def _deferred(export: Callable[..., ExportedProgram], model: nn.Module) -> ExportedProgram | None:
    """The module with numbers of sizes followed, or with what is not proved left to be asserted."""
    deferred = {"prefer_deferred_runtime_asserts_over_guards": True}
    for options in ({}, deferred):
        with suppress(Exception), symbolic_numbers(model):
            return export(**options)
    with suppress(Exception):  # older releases cannot leave it to be asserted
        return export(**deferred)
    return None


def _assumed(
    export: Callable[..., ExportedProgram],
    model: nn.Module,
    specs: Sequence[Mapping[int, Any]],
    conditions: Asked,
) -> ExportedProgram | None:
    """The module with what is not proved taken for granted, for all sizes to be tried."""
    with suppress(Exception), symbolic_numbers(model), _unproved():
        program = export()
        if _vary(program, specs):
            conditions.unproved = True
            return program
    return None


def _is_unproved(error: Exception) -> bool:
    if isinstance(error, UserError):
        return error.error_type is UserErrorType.CONSTRAINT_VIOLATION
    return str(error).startswith(_NO_DIM)


@contextmanager
def _unproved() -> Iterator[None]:
    """Inside, torch.export goes on where it cannot prove what it assumed of sizes."""
    solve = getattr(_trace, _SOLVE)

    def tried(*args: Any, **kwargs: Any) -> None:
        try:
            solve(*args, **kwargs)
        except ConstraintViolationError:
            pass
        except AssertionError as error:
            if not _is_unproved(error):
                raise

    with mock.patch.object(_trace, _SOLVE, tried):
        yield


def _vary(program: ExportedProgram, specs: Sequence[Mapping[int, Any]]) -> bool:
    """Whether no axis that is to vary has become a number."""
    names = set(program.graph_signature.user_inputs)
    inputs = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in names]
    shapes = [node.meta["val"].shape for node in inputs]
    sizes = [shape[i] for shape, spec in zip(shapes, specs, strict=True) for i in spec]
    return all(isinstance(n, torch.SymInt) and n.node.expr.free_symbols for n in sizes)
