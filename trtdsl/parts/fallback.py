"""``convert(..., fallback="torch")``: what no engine computes runs in PyTorch, between engines."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeAlias

import torch
from torch.fx import Node

from trtdsl import walk
from trtdsl.capture import Captured
from trtdsl.engine import Engine
from trtdsl.errors import ConversionError, explain
from trtdsl.export.asserted import CHECKS, warn_of_values
from trtdsl.expression import expression
from trtdsl.manifest import TensorSpec
from trtdsl.network import Network
from trtdsl.nodes import call_of, source_of
from trtdsl.options import BuildOptions
from trtdsl.parts.cutting import EngineCut, is_complex
from trtdsl.parts.flow import Flow, is_convertible, tensors_of
from trtdsl.parts.hybrid import EnginePiece, Hybrid, TorchPiece
from trtdsl.parts.moved import Movable
from trtdsl.parts.outline import Break, Outline
from trtdsl.parts.partition import partition
from trtdsl.parts.pieces import Piece, Refused, pieces
from trtdsl.parts.precomputed import precompute
from trtdsl.parts.regions import inline_regions
from trtdsl.profiles import parse
from trtdsl.reference import Reference
from trtdsl.report import advice, is_known, report
from trtdsl.signature import Signature
from trtdsl.types import DType, symbols

__all__ = ["FallbackWarning", "check_fallback", "converted"]

Make: TypeAlias = Callable[[Network, BuildOptions], Engine | Reference]
"""What runs a network: builds its engine, or evaluates it."""


class FallbackWarning(UserWarning):
    """Some operators of a converted model run in PyTorch; the message lists each of them."""


def check_fallback(word: object, options: BuildOptions) -> None:
    """Errors: ConversionError for another word than ``"torch"``, and for what excludes it."""
    if word not in (None, "torch"):
        raise ConversionError(
            explain(f"fallback is None or 'torch', not {word!r}", fix='fallback="torch"')
        )
    if word is not None and options.refits:
        name = "refit" if options.refit else "strip_weights"
        raise ConversionError(
            explain(
                f"{name}=True with fallback={word!r}: what runs in PyTorch keeps its own weights, "
                "and a refit would not reach them",
                fix="convert again with the new weights, or leave out fallback",
            )
        )


def _options_of(network: Network, options: BuildOptions) -> BuildOptions:
    """The options for one piece: of the profiles those sizes that its inputs have."""
    given = symbols(d for x in network.inputs for d in x.shape)
    own = [{n: p[n] for n in p if n in given} for p in options.profiles or ()]
    return replace(options, profiles=own if any(own) else None)


def converted(
    captured: Captured, make: Make, options: BuildOptions, *, name: str, device: str | None
) -> Engine | Reference | Hybrid:
    """What ``make`` gives for the whole model; where that cannot be, the model in pieces.

    ``device``: where engines run; None where the inputs are.
    Errors: ConversionError for inputs that no engine takes; BuildError for profiles that do not
    fit the model; and as of ``make``.
    """
    if options.profiles is not None:
        parse(options.profiles, captured.symbols)
    whole = _whole(captured, name)
    if whole is None:
        inline_regions(captured.module)
        captured = precompute(_with_new_outputs(captured))
        whole = _whole(captured, name)
    if whole is not None:
        return make(whole, options)
    return _hybrid(captured, lambda n: make(n, _options_of(n, options)), name, device)


def _with_new_outputs(captured: Captured) -> Captured:
    (outputs,) = captured.module.graph.output_node().args
    assert isinstance(outputs, tuple | list)
    return replace(captured, outputs=tuple(n for n in outputs if isinstance(n, Node)))


def _whole(captured: Captured, name: str) -> Network | None:
    """The network of the whole model; None where some operators have to run in PyTorch."""
    if not report(captured).ok:
        return None
    try:
        with _warnings_of_success():
            return walk.network(captured, name=name)
    except ConversionError as error:
        if error.node is None:
            raise
        return None


def _hybrid(
    captured: Captured,
    make: Callable[[Network], Engine | Reference],
    name: str,
    device: str | None,
) -> Hybrid:
    signature = _signature(captured)
    flow = Flow(captured)
    found, reasons, left = _parted(flow, name)
    outline = Outline(
        pieces=tuple((isinstance(p.cut, EngineCut), len(p.cut.part.nodes)) for p in found),
        breaks=tuple(_break(n, reasons[n], captured) for n in flow.operators if n in reasons),
        left=left,
    )
    # Engines take long to build: whoever dislikes what runs where can stop it now.
    warnings.warn(str(outline), FallbackWarning, stacklevel=4)
    _warn_of_checks(captured)
    placed = torch.device(device) if device else _device(captured)
    last = _last_uses(captured, found)
    return Hybrid(
        name=name,
        signature=signature,
        output_tree=captured.output_tree,
        pieces=[
            _engine(piece, make, names)
            if isinstance(piece.cut, EngineCut)
            else _torch(piece, _device(captured), placed, names)
            for piece, names in zip(found, last, strict=True)
        ],
        inputs=[node.name for node, _ in captured.inputs],
        symbols={str(symbol): text for symbol, text in captured.names.items()},
        outputs=[node.name for node in captured.outputs],
        constants=_constants(captured),
        outline=outline,
        device=device,
    )


def _warn_of_checks(captured: Captured) -> None:
    for node in captured.module.graph.nodes:
        if str(node.target) in CHECKS:
            warn_of_values(node, captured)


def _parted(flow: Flow, name: str) -> tuple[list[Piece], dict[Node, str], int]:
    """The pieces, why PyTorch has to run some operators, and how many it runs besides."""
    reasons = {n: _reason(n) for n in flow.operators if not is_convertible(n)}
    while True:
        flow.in_torch = set(reasons)
        parts, left = partition(flow)
        try:
            with _warnings_of_success():
                return pieces(flow, parts, name=name), reasons, len(left)
        except Refused as refused:
            reasons |= refused.reasons


def _engine(
    piece: Piece, make: Callable[[Network], Engine | Reference], last: frozenset[str]
) -> EnginePiece:
    cut, network = piece.cut, piece.made
    assert isinstance(network, Network)
    return EnginePiece(
        engine=make(network),
        inputs=tuple(n.name for n in cut.taken.values()),
        numbers=tuple(map(str, cut.numbers.values())),
        outputs=tuple(n.name for n in piece.outputs),
        measures=piece.measures,
        last=last,
        complex_inputs=frozenset(n.name for n in cut.taken.values() if is_complex(n)),
        complex_outputs=frozenset(n.name for n in piece.outputs if is_complex(n)),
    )


def _torch(
    piece: Piece, captured: torch.device, device: torch.device, last: frozenset[str]
) -> TorchPiece:
    cut, module = piece.cut, piece.made
    assert isinstance(module, torch.fx.GraphModule)
    given = {p: (False, n.name) for p, n in cut.taken.items()}
    given |= {p: (True, str(symbol)) for p, symbol in cut.numbers.items()}
    return TorchPiece(
        module=Movable(module, captured, device),
        order=tuple(given[p] for p in cut.placeholders),
        inputs=tuple(n.name for n in cut.taken.values()),
        numbers=tuple(map(str, cut.numbers.values())),
        outputs=tuple(n.name for n in piece.outputs),
        measures=piece.measures,
        last=last,
    )


def _last_uses(captured: Captured, found: Sequence[Piece]) -> list[frozenset[str]]:
    """The values that each piece is the last to need, but for the outputs."""
    uses: dict[str, int] = {}
    for index, piece in enumerate(found):
        names = {n.name for n in (*piece.cut.taken.values(), *piece.outputs)}
        names |= {measure.value for measure in piece.measures}
        uses |= dict.fromkeys(names, index)
    kept = {n.name for n in captured.outputs}
    return [
        frozenset(name for name, at in uses.items() if at == index and name not in kept)
        for index in range(len(found))
    ]


def _constants(captured: Captured) -> dict[str, torch.Tensor]:
    """The outputs that are weights of the model themselves."""
    weights = {n.name: captured.weights[n][0] for n in captured.outputs if n in captured.weights}
    attributes = {
        n.name: operator.attrgetter(str(n.target))(captured.module)
        for n in captured.outputs
        if n.op == "get_attr"
    }
    return weights | attributes


def _signature(captured: Captured) -> Signature:
    return Signature(
        inputs=tuple(_spec(node, name, captured) for node, name in captured.inputs),
        input_tree=captured.input_tree,
        parameters=captured.parameters,
        symbols=dict(captured.symbols),
    )


def _spec(node: Node, name: str, captured: Captured) -> TensorSpec:
    """A model's input as its callers give it. Errors: ConversionError for complex and float64."""
    value = node.meta["val"]
    try:
        dtype = DType.of(value.dtype)
    except ValueError:
        fix = "take float32 or int64"
        if value.dtype.is_complex:
            fix = "take torch.view_as_real(x), and let the model call torch.view_as_complex"
        raise ConversionError(
            explain(f"input {name} is {value.dtype}, which TensorRT does not have", fix=fix)
        ) from None
    sizes = (expression(d, captured.names) for d in value.shape)
    shape = tuple(d if isinstance(d, int) else str(d) for d in sizes)
    return TensorSpec(name=name, dtype=dtype, engine_dtype=dtype, shape=shape)


def _device(captured: Captured) -> torch.device:
    """Where the model was captured."""
    given = [n.meta["val"] for n, _ in captured.inputs]
    weights = [tensor for tensor, _ in captured.weights.values()]
    for x in (*given, *weights):
        return torch.device(x.device)
    return torch.device("cpu")


def _break(node: Node, reason: str, captured: Captured) -> Break:
    source = source_of(node, captured.prefix)
    return Break(call=call_of(node, captured.names), source=source, reason=reason)


def _reason(node: Node) -> str:
    if isinstance(node.target, torch._ops.HigherOrderOperator) and is_known(node):
        return "an operator inside has no converter"
    if not is_known(node):
        return f"it has no converter; {advice(node)}"
    known = {torch.complex64} | {d.torch for d in DType}
    every = (x.dtype for n in (node, *node.all_input_nodes) for x in tensors_of(n))
    return f"TensorRT does not have {next(d for d in every if d not in known)}"


@contextmanager
def _warnings_of_success() -> Iterator[None]:
    """Warnings inside are raised when it ends well, and not where it is tried again."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for text in dict.fromkeys((w.category, str(w.message)) for w in caught):
        warnings.warn(text[1], text[0], stacklevel=4)
