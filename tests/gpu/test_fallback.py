"""``convert(..., fallback="torch")`` on a GPU: engines and PyTorch on one stream, no copies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests.breaking import BATCH, Chain, Counted, Mix, Picks, mixed, order, seeded
from tests.cases.base import f32
from tests.gpu.mlp import TOLERANCE
from trtdsl.engine import Engine
from trtdsl.errors import RunError
from trtdsl.parts.fallback import FallbackWarning
from trtdsl.parts.hybrid import EnginePiece, Hybrid, TorchPiece

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
    pytest.mark.filterwarnings("ignore::trtdsl.PrecisionWarning"),
]

SLEEP = 1_000_000_000  # cycles, some half a second: far longer than a call takes to queue


def built(model: nn.Module, *args: Any, **options: Any) -> Hybrid:
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(
            model.eval(),
            args,
            backend="tensorrt",
            fallback="torch",
            optimization_level=0,
            **options,
        )
    assert isinstance(hybrid, Hybrid)
    assert all(isinstance(engine, Engine) for engine in hybrid.engines)
    return hybrid


def check(hybrid: Hybrid, model: nn.Module, *args: torch.Tensor, **tolerance: float) -> Any:
    """The answer on the GPU, held to the model's on the CPU."""
    answer = hybrid(*(x.cuda() for x in args))
    with torch.no_grad():
        expected = model(*args)
    pairs = (
        [(answer[name], expected[name]) for name in expected]
        if isinstance(expected, Mapping)
        else [(answer, expected)]
    )
    for y, z in pairs:
        assert y.is_cuda
        torch.testing.assert_close(y.cpu(), z, **(tolerance or TOLERANCE))
    return answer


def chain(breaks: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return Chain(breaks, Mix).eval()


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_three_sizes_of_a_batch(precision: str) -> None:
    model = chain()
    hybrid = built(model, f32(4, 8), dynamic_shapes={"x": BATCH}, precision=precision)
    assert order(hybrid) == "ETETE"
    tolerance = {"rtol": 1e-2, "atol": 1e-2} if precision == "fp16" else {}
    for rows in (1, 9, 32, 9):
        answer = check(hybrid, model, f32(rows, 8, seed=rows), **tolerance)
        assert answer.dtype is torch.float32
    with pytest.raises(RunError, match=r"batch in 1\.\.32"):
        hybrid(f32(33, 8).cuda())
    with pytest.raises(RunError, match="input x is on cpu, and this runs on cuda:0"):
        hybrid(f32(4, 8))


def test_profiles_are_those_of_the_model() -> None:
    model = chain(1)
    ranges = [{"batch": 1}, {"batch": (2, 16, 32)}]
    hybrid = built(model, f32(4, 8), dynamic_shapes={"x": BATCH}, profiles=ranges)
    for engine in hybrid.engines:
        assert isinstance(engine, Engine)
        assert [p["batch"].max for p in engine.manifest.profiles] == [1, 32]
    for rows in (1, 32):
        check(hybrid, model, f32(rows, 8, seed=rows))


def test_nothing_is_copied_between_the_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[int]] = []
    made: list[list[int]] = []
    kept: list[Any] = []
    for kind in (EnginePiece, TorchPiece):

        def run(self: Any, values: Any, *rest: Any, original: Any = kind.run) -> Any:
            given.append([values[name].data_ptr() for name in self.inputs])
            outputs = original(self, values, *rest)
            made.append([y.data_ptr() for y in outputs])
            kept.append((outputs, dict(values)))  # so that no memory is used again
            return outputs

        monkeypatch.setattr(kind, "run", run)
    model = chain()
    hybrid = built(model, f32(4, 8))
    x = f32(4, 8, seed=1).cuda()
    y = hybrid(x)
    assert [x.data_ptr()] == given[0]
    assert given[1:] == made[:-1]
    assert made[-1] == [y.data_ptr()]
    engines = [e for e in hybrid.engines if isinstance(e, Engine)]
    for engine, inputs in zip(engines, given[::2], strict=True):
        lane = engine._runners.torch()._lanes[0]  # of the default stream
        assert lane.context is not None
        name = engine.manifest.inputs[0].name
        assert [lane.context._context.get_tensor_address(name)] == inputs


@pytest.mark.parametrize("side", [False, True])
def test_all_is_queued_on_the_current_stream(side: bool) -> None:
    model = chain()
    hybrid = built(model, f32(4, 8))
    stream = torch.cuda.Stream() if side else torch.cuda.default_stream()
    with torch.cuda.stream(stream):
        hybrid(f32(4, 8).cuda())  # makes the contexts, which waits for the device
    for seed in range(3):
        want = f32(4, 8, seed=seed)
        source = want.cuda()
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            x = torch.zeros(4, 8, device="cuda")
            torch.cuda._sleep(SLEEP)
            x.copy_(source)
            y = hybrid(x)
            z = y.clone()
            x.zero_()
        assert not stream.query()  # nothing waited: all is queued behind the sleep
        stream.synchronize()
        with torch.no_grad():
            torch.testing.assert_close(z.cpu(), model(want), **TOLERANCE)


def test_two_streams_at_once() -> None:
    model = chain()
    hybrid = built(model, f32(4, 8))
    streams = [torch.cuda.Stream() for _ in range(2)]
    inputs = [f32(4, 8, seed=seed).cuda() for seed in range(2)]
    torch.cuda.synchronize()
    outputs: list[list[torch.Tensor]] = [[], []]
    for _ in range(5):
        for stream, x, found in zip(streams, inputs, outputs, strict=True):
            with torch.cuda.stream(stream):
                found.append(hybrid(x))
    torch.cuda.synchronize()
    for x, found in zip(inputs, outputs, strict=True):
        with torch.no_grad():
            expected = model(x.cpu())
        for y in found:
            torch.testing.assert_close(y.cpu(), expected, **TOLERANCE)


def test_a_break_decides_a_size() -> None:
    model = seeded(Picks)
    hybrid = built(model, f32(6, 8), dynamic_shapes={"x": BATCH})
    counts = set()
    for rows, seed in [(6, 0), (6, 1), (32, 2), (3, 3), (1, 4), (1, 5), (1, 7)]:
        counts.add(len(check(hybrid, model, f32(rows, 8, seed=seed))["y"]))
    assert 0 in counts
    assert len(counts) > 3


def test_sizes_that_no_input_of_an_engine_has() -> None:
    model = seeded(Counted)
    rows = Dim("batch", min=4, max=32)
    hybrid = built(model, f32(6, 8), dynamic_shapes={"x": {0: rows}})
    for number in (6, 32, 5):
        check(hybrid, model, f32(number, 8, seed=number))


class Kinds(nn.Module):
    """int64 and bool through a break, and a weight that PyTorch reads."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = nn.Parameter(f32(4))

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        mask, twice = (x + 1 > 0.5) & (x < 2), (ids * 2 + 1).flip(0) - ids
        far = mixed(x, self.offset + torch.arange(4)) > 0
        order = mixed(twice.float(), twice.float()).long()
        chosen = torch.where(far & mask, x * 2, x - 1)
        return {"chosen": chosen, "both": far ^ mask, "order": order * 3 - twice // 2}


def test_integers_and_bools_cross() -> None:
    torch.manual_seed(0)
    model = Kinds().eval()
    hybrid = built(model, f32(3, 4), torch.tensor([3, 1, 2]))
    assert len(hybrid.engines) == 2
    for seed in range(2):
        check(hybrid, model, f32(3, 4, seed=seed), torch.tensor([seed, 5, -3]))


def test_numpy_in_and_out() -> None:
    model = chain()
    hybrid = built(model, f32(4, 8))
    x = f32(4, 8, seed=1)
    answer = hybrid(x.numpy())
    assert isinstance(answer, np.ndarray)
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(answer), model(x), **TOLERANCE)


def test_random_numbers_are_drawn_on_the_gpu() -> None:
    class Draws(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.first(x)
            return self.last(y + torch.rand(x.shape[0], 8))  # type: ignore[no-any-return]

    hybrid = built(seeded(Draws), f32(4, 8))
    x = f32(4, 8, seed=1).cuda()
    torch.manual_seed(3)
    first = hybrid(x)
    torch.manual_seed(3)
    assert torch.equal(hybrid(x), first)
    assert not torch.equal(hybrid(x), first)


def test_nothing_unsupported_is_a_plain_engine() -> None:
    engine = trtdsl.convert(
        chain(0), (f32(4, 8),), backend="tensorrt", fallback="torch", optimization_level=0
    )
    assert type(engine) is Engine
