"""What crosses between engines and PyTorch: sizes, numbers, integers, bools, complex tensors."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.breaking import (
    BATCH,
    Break,
    Counted,
    Picks,
    check,
    converted,
    keep_positive,
    order,
    plus,
    seeded,
)
from tests.cases.base import f32, i64
from tests.test_lowering import lowered
from trtdsl.errors import ConversionError, RunError


def test_a_break_decides_a_size() -> None:
    model = seeded(Picks)
    hybrid = converted(model, f32(6, 8), dynamic_shapes={"x": BATCH})
    assert order(hybrid)[:2] == "ET"
    counts = set()
    for rows, seed in [(6, 0), (6, 1), (32, 2), (3, 3), (1, 4), (1, 5), (1, 7)]:
        counts.add(len(check(hybrid, model, f32(rows, 8, seed=seed))["y"]))
    assert 0 in counts
    assert len(counts) > 3
    assert "u0 is 0 to 64" in str(hybrid.engines[-1].network)  # type: ignore[union-attr]


def test_a_size_beyond_what_the_model_promises_is_refused() -> None:
    class Promises(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = keep_positive(x)
            torch._check(y.shape[0] <= 2)
            return y

    hybrid = converted(Promises(), f32(4, 3))
    x = torch.ones(4, 3)
    with pytest.raises(RunError, match="is 4, and the model checks that it is 0 to 2"):
        hybrid(x)
    x[1:] = -1
    check(hybrid, Promises(), x)


def test_a_size_without_an_upper_bound_stays_in_pytorch() -> None:
    class Unbounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.after(keep_positive(self.before(x)))
            return y

    model = seeded(Unbounded)
    hybrid = converted(model, f32(6, 8))
    assert order(hybrid) == "ET"
    check(hybrid, model, f32(6, 8, seed=1))
    (reason,) = [b.reason for b in hybrid.breaks if "linear" in b.call]
    assert "an engine needs to know how large it can be: torch._check(n <= ...)" in reason
    assert "tests/breaking.py" not in reason
    assert f"({__file__}:" in reason


def test_an_engine_finds_what_the_others_count() -> None:
    class Finds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.before, self.after = nn.Linear(8, 8), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            y = self.before(x)
            found = y[(y > 0)[:, 0]]
            z = self.after(torch.special.bessel_j0(found))
            return {"z": z, "count": plus(z.sum(0), found.shape[0] * 2)}

    model = seeded(Finds)
    hybrid = converted(model, f32(6, 8), dynamic_shapes={"x": BATCH})
    assert order(hybrid) == "ETET"
    for rows in (2, 6, 31):
        check(hybrid, model, f32(rows, 8, seed=rows))
    assert "u0 is 0 to 32" in str(hybrid.engines[1].network)  # type: ignore[union-attr]


class Numbers(nn.Module):
    """Reads numbers from tensors in an engine and in PyTorch, and hands them over."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> dict[str, torch.Tensor]:
        y = self.first(x)
        factor, count = y.mean().item(), i.sum().item()
        torch._check(count >= 1)
        torch._check(count <= 16)
        broken = plus(torch.special.zeta(2.5, y.abs() + 1) * factor, count + x.shape[0])
        broken = broken + torch.special.zeta(factor**2 + 2, y.abs() + 1)
        least = torch.special.bessel_j0(y).amin().item()
        z = self.last(broken * factor + count) + least
        return {"z": z, "steps": torch.arange(count), "free": i.amax().item() * z}


def test_numbers_cross_in_both_directions() -> None:
    model = seeded(Numbers)
    hybrid = converted(model, f32(4, 8), i64(3), dynamic_shapes={"x": BATCH, "i": None})
    for rows in (1, 4, 32):
        check(hybrid, model, f32(rows, 8, seed=rows), i64(3, seed=rows, low=1, high=5))
    with pytest.raises(RunError, match="is 21, and the model checks that it is 1 to 16"):
        hybrid(f32(4, 8), torch.tensor([7, 7, 7]))


class Kinds(nn.Module):
    """int64, bool and float32 in both directions, over a break that takes and gives all three."""

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mask, twice = x.cumsum(0) > 0.5, ids * 2 + ids.flip(0)
        order = torch.argsort(torch.special.bessel_j0(x), dim=0)
        near = torch.special.bessel_j1(x) > 0.2
        chosen = torch.where(near & mask, x * 2, x - 1).gather(0, order) + twice.sum()
        return chosen.exp().cumsum(0), near ^ mask, order + twice[0] * 3 - order // 2


def test_sizes_that_no_input_of_an_engine_has() -> None:
    model = seeded(Counted)
    rows = Dim("batch", min=4, max=32)
    hybrid = converted(model, f32(6, 8), dynamic_shapes={"x": {0: rows}})
    assert order(hybrid)[:3] == "ETE"
    inputs = [str(x) for x in hybrid.engines[-1].network.inputs]  # type: ignore[union-attr]
    assert sorted(inputs) == [
        "column_sums: f32[8]",
        "size_of_batch: bool[batch]",
        "size_of_u0: bool[u0]",
    ]
    for number in (6, 32, 5):
        check(hybrid, model, f32(number, 8, seed=number))
    none = -10 * model.before.weight[0].detach().expand(7, 8).contiguous()  # type: ignore[union-attr]
    assert len(keep_positive(model.before(none))) == 0  # type: ignore[operator]
    check(hybrid, model, none)


@pytest.mark.parametrize("version", standin.VERSIONS)
@pytest.mark.parametrize("model", [Picks, Counted, Numbers])
def test_pieces_lower(model: type[nn.Module], version: str) -> None:
    args = (f32(6, 8), i64(3, low=1, high=5)) if model is Numbers else (f32(6, 8),)
    hybrid = converted(seeded(model), *args)
    for engine in hybrid.engines:
        assert lowered(engine.network, version).created  # type: ignore[union-attr]


def test_integers_and_bools_cross() -> None:
    ids = torch.tensor([2**40, 5, -3])
    hybrid = converted(Kinds(), f32(5, 4), ids)
    check(hybrid, Kinds(), f32(5, 4, seed=1, low=-1), torch.tensor([3, 1, 2]))
    check(hybrid, Kinds(), f32(5, 4, seed=2, low=-1), -ids // 2**30)


def test_complex_tensors_cross_as_pairs() -> None:
    class Spectrum(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            spectrum = torch.fft.rfft(x @ x, dim=-1)
            turned = torch.linalg.matrix_exp(spectrum[:3])
            return (turned @ turned).abs() @ torch.fft.irfft(spectrum, dim=-1)[:3]

    hybrid = converted(Spectrum(), f32(4, 4) / 4)
    assert order(hybrid) == "ETE"
    with pytest.raises(ConversionError, match=r"input x is torch\.complex64"):
        trtdsl.convert(
            Break().eval(),
            (torch.ones(2, dtype=torch.complex64),),
            backend="reference",
            fallback="torch",
        )


def test_float64_inside_is_computed_as_such_where_pytorch_runs() -> None:
    class Wide(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = torch.linalg.matrix_exp((x @ x).double())
            return (y.float() @ x).relu()

    with pytest.warns(trtdsl.PrecisionWarning):
        hybrid = converted(Wide(), f32(4, 4))
    check(hybrid, Wide(), f32(4, 4, seed=1))


def test_threads_share_a_hybrid() -> None:
    model = seeded(Picks)
    hybrid = converted(model, f32(6, 8), dynamic_shapes={"x": BATCH})
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        try:
            for step in range(5):
                check(hybrid, model, f32(seed + 1, 8, seed=seed * 10 + step))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
