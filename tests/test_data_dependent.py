"""Sizes that values decide, from the trace to the signature, and numbers read from tensors."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import standin
from tests.cases.base import f32, i64
from tests.test_ir import assert_close
from tests.test_lowering import lowered
from trtdsl import registry
from trtdsl.errors import ConversionError, RunError
from trtdsl.ir.slice import Slice
from trtdsl.network import Tensor
from trtdsl.reference import spec
from trtdsl.registry import converter
from trtdsl.types import DimRange


class Detects(nn.Module):
    """Picks boxes by a mask, twice, and computes with their number."""

    def forward(self, boxes: torch.Tensor, scores: torch.Tensor) -> dict[str, torch.Tensor]:
        keep = scores > 0.5
        kept = boxes[keep]
        centres = (kept[:, :2] + kept[:, 2:]) / 2
        order = torch.arange(kept.shape[0]) + kept.shape[0]
        weighted = kept * scores[keep].unsqueeze(1)
        padded = torch.cat([weighted, boxes])
        return {"centres": centres, "order": order, "padded": padded, "mean": weighted.mean()}


def boxes(n: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    return f32(n, 4, seed=seed), f32(n, seed=seed, low=0)


def traced() -> trtdsl.Network:
    n = Dim("n", min=1, max=64)
    return trtdsl.trace(
        Detects().eval(), boxes(6), dynamic_shapes={"boxes": {0: n}, "scores": {0: n}}
    )


def test_one_trace_serves_every_number_of_boxes_that_is_kept() -> None:
    network, counts = traced(), set()
    for n, seed in [(6, 0), (6, 1), (17, 2), (1, 3), (2, 9)]:
        inputs = boxes(n, seed)
        answer, expected = network.evaluate(*inputs), Detects()(*inputs)
        counts.add(len(expected["centres"]))
        for name, value in expected.items():
            assert_close(answer[name], value, 1e-6)
    assert 0 in counts
    assert len(counts) > 3


def test_one_mask_is_searched_once() -> None:
    network = traced()
    assert sum(op.layer.kind == "non_zero" for op in network.operations) == 1
    centres, order = network.outputs[:2]
    assert centres.shape[0] == order.shape[0]
    assert network.symbols[centres.shape[0].name] == DimRange(min=0, opt=64, max=64)


def test_outputs_are_described_with_their_own_sizes() -> None:
    network = traced()
    specs = {x.name: str(spec(x, x.dtype)) for x in network.outputs}
    assert specs == {
        "centres": "centres: f32[u0, 2]",
        "order": "order: i64[u0]",
        "padded": "padded: f32[n + u0, 4]",
        "mean": "mean: f32[]",
    }
    assert "u0 is 0 to 64" in str(network)


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_what_values_decide_is_read_from_the_layer_that_found_it(version: str) -> None:
    api = lowered(traced(), version)
    (found,) = [x for x in api.created if type(x).__name__ == "INonZeroLayer"]
    reads = [
        x
        for x in api.created
        if type(x).__name__ == "IShapeLayer" and x.get_input(0) is found.get_output(0)
    ]
    assert reads
    assert lowered(trtdsl.trace(Counts(3), (f32(8), i64(1, low=1, high=4))), version).created


class Counts(nn.Module):
    """Takes as many elements as a tensor says, at most ``most``."""

    def __init__(self, most: int | None) -> None:
        super().__init__()
        self.most = most
        self.eval()

    def forward(self, x: torch.Tensor, i: torch.Tensor) -> torch.Tensor:
        n = i.max().item()
        torch._check(n >= 1)
        torch._check(n <= x.shape[0])
        if self.most is not None:
            torch._check(n <= self.most)
        return x[:n] * n


def test_a_number_of_known_bounds_is_a_size() -> None:
    network = trtdsl.trace(Counts(5), (f32(8), torch.tensor([2])))
    for n in (1, 4, 5):
        x, i = f32(8, seed=n), torch.tensor([n])
        assert torch.equal(network.evaluate(x, i), x[:n] * n)
    for n in (0, 6):
        with pytest.raises(RunError, match="and the model checks that it is 0 to 4"):
            network.evaluate(f32(8), torch.tensor([n]))


class Multiplies(nn.Module):
    def forward(self, x: torch.Tensor, i: torch.Tensor) -> Any:
        n = i.max().item()
        return x * n, x.new_full((3,), n), x / x.sum().item()


def test_a_number_without_bounds_is_computed_with() -> None:
    network = trtdsl.trace(Multiplies().eval(), (f32(4), torch.tensor([2, 1])))
    for n in (-7, 0, 2**40):
        inputs = f32(4, seed=1), torch.tensor([n, n - 1])
        for ours, theirs in zip(network.evaluate(*inputs), Multiplies()(*inputs), strict=True):
            assert_close(ours, theirs, 1e-6)
    for version in standin.VERSIONS:
        assert lowered(network, version).created


def test_a_number_without_bounds_is_no_size() -> None:
    class Grows(nn.Module):
        def forward(self, i: torch.Tensor) -> torch.Tensor:
            return torch.zeros(i.max().item())

    with pytest.raises(ConversionError, match="is used as a size, and TensorRT needs") as caught:
        trtdsl.trace(Grows().eval(), (torch.tensor([2, 1]),))
    message = str(caught.value)
    assert "forward: return torch.zeros(i.max().item())" in message
    assert "fix: n = x.item(); torch._check(n >= 0); torch._check(n <= 100)" in message


def test_arithmetic_that_tensors_lack_is_refused_at_its_line() -> None:
    class Rounds(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * math.floor(x.sum().item())

    with pytest.raises(ConversionError, match=r"of a number that is read from a tensor") as caught:
        trtdsl.trace(Rounds().eval(), (f32(3),))
    assert "forward: return x * math.floor(x.sum().item())" in str(caught.value)


def test_half_precision_keeps_sizes() -> None:
    n = Dim("n", min=1, max=64)
    spec = {"boxes": {0: n}, "scores": {0: n}}
    network = trtdsl.trace(Detects().eval(), boxes(6), dynamic_shapes=spec, precision="fp16")
    inputs = boxes(9, 4)
    for name, value in Detects()(*inputs).items():
        assert_close(network.evaluate(*inputs)[name], value, 2e-3)


class Ragged(nn.Module):
    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return torch.stack([part.sum(0) for part in x.split(lengths.tolist())])


def test_one_trace_splits_by_lengths_of_all_kinds() -> None:
    model, lengths = Ragged().eval(), torch.tensor([1, 3, 2])
    shapes = {"x": {0: Dim("n", min=2, max=30)}, "lengths": None}
    network = trtdsl.trace(model, (f32(6, 4), lengths), dynamic_shapes=shapes)
    for given in ([1, 3, 2], [0, 5, 0], [10, 0, 20]):
        inputs = f32(sum(given), 4), torch.tensor(given)
        assert_close(network.evaluate(*inputs), model(*inputs), 1e-5)
    for version in standin.VERSIONS:
        assert lowered(network, version).created


class Regulates(nn.Module):
    """FastSpeech: each word as often as it is long, and which word that is."""

    def __init__(self, most: int | None) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, which = x.repeat_interleave(counts, dim=0), torch.repeat_interleave(counts)
        if self.most is not None:
            torch._check(y.shape[0] <= self.most)
            torch._check(which.shape[0] <= self.most)
        return y.cumsum(0), which


def test_what_is_repeated_by_counts() -> None:
    n = Dim("n", min=1, max=20)
    model, example = Regulates(40).eval(), (f32(4, 3), torch.tensor([1, 0, 3, 2]))
    network = trtdsl.trace(model, example, dynamic_shapes=({0: n}, {0: n}))
    for inputs in (example, (f32(2, 3), torch.tensor([30, 10])), (f32(1, 3), torch.tensor([0]))):
        for ours, theirs in zip(network.evaluate(*inputs), model(*inputs), strict=True):
            torch.testing.assert_close(ours, theirs)
    for version in standin.VERSIONS:
        assert lowered(network, version).created
    with pytest.raises(ConversionError, match=r"is used as a size(.|\n)*y\.shape\[0\] <= 100"):
        trtdsl.trace(Regulates(None).eval(), example)


@pytest.mark.parametrize("function", [torch.any, torch.all])
def test_whether_any_or_all_of_what_turns_out_empty(
    function: Callable[[torch.Tensor], torch.Tensor],
) -> None:
    class Positive(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return function(x[x > 0] > 1)

    network = trtdsl.trace(Positive().eval(), (torch.ones(3),))
    for values in ([-1.0, -1, -1], [1.0, 2, -1], [2.0, 3, 4], [0.5, -1, 1]):
        x = torch.tensor(values)
        assert torch.equal(network.evaluate(x), Positive()(x))


class Rejoined(nn.Module):
    """Cuts rows by lengths that are an input, and joins them; they meet rows of a known number."""

    def forward(
        self, x: torch.Tensor, lengths: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        parts = x.split(lengths.tolist())
        joined = torch.cat([part * (i + 2) for i, part in enumerate(parts)])
        weighed = joined * x
        return weighed, torch.where(x > 0, joined, weighed).relu() + joined, x - joined.sum(1, True)


def test_rows_whose_number_values_decide_meet_rows_of_a_known_number() -> None:
    model, x = Rejoined().eval(), f32(6, 4)
    network = trtdsl.trace(model, (x, torch.tensor([2, 4])))
    for lengths in ((2, 4), (6, 0), (1, 5)):
        given = x, torch.tensor(lengths)
        for ours, expected in zip(network.evaluate(*given), model(*given), strict=True):
            torch.testing.assert_close(ours, expected)


def test_a_converter_that_gives_another_size_is_refused_where_values_decide_sizes_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))

    def half(x: Tensor) -> Tensor:
        return Slice(start=(0, 0), shape=(x.shape[0], 2), stride=(1, 1))(x)

    converter(torch.ops.aten.relu.default, override=True)(half)
    with pytest.raises(ConversionError, match="the engine would be wrong"):
        trtdsl.trace(Rejoined().eval(), (f32(6, 4), torch.tensor([2, 4])))


class Cut(nn.Module):
    """Python's ``int`` and ``float`` of tensors, as a size, in a mask and in arithmetic."""

    def forward(self, x: torch.Tensor, ends: torch.Tensor) -> tuple[torch.Tensor, ...]:
        last = int(torch.round(ends.max() * 0.5))
        most = int(ends.max())
        torch._check(most >= 0)
        torch._check(most <= x.shape[1])
        places = torch.arange(most).expand(x.shape[0], most)
        return (
            x[:, :last].sum(1),
            x[:, : int(ends.sum())],
            places < ends[:, None],
            x * float(ends.min()) + most,
        )


def test_numbers_of_tensors_by_python_s_own_classes() -> None:
    model, x = Cut().eval(), f32(2, 5)
    network = trtdsl.trace(model, (x, torch.tensor([4, 3])))
    for ends in ([4, 3], [2, 0], [1, 5]):
        given = x, torch.tensor(ends)
        for ours, expected in zip(network.evaluate(*given), model(*given), strict=True):
            torch.testing.assert_close(ours, expected)


class Routed(nn.Module):
    """What a choice finds is written back, as experts do with their tokens: there may be none."""

    def __init__(self, write: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.write = write

    def forward(self, x: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
        (places,) = torch.where(chosen == 1)
        return self.write(x.exp(), places, x[places] * 2)


@pytest.mark.parametrize(
    "write",
    [
        lambda y, i, rows: y.index_add(0, i, rows),
        lambda y, i, rows: y.index_copy(0, i, rows),
        lambda y, i, rows: y.index_reduce(0, i, rows, "amax"),
        lambda y, i, rows: y.index_reduce(0, i, rows, "mean", include_self=False),
        lambda y, i, rows: y.scatter_reduce(0, i[:, None].expand(-1, 4), rows, "amin"),
        lambda y, i, rows: y.scatter(0, i[:, None].expand(-1, 4), rows),
        lambda y, i, rows: y.index_put((i,), rows, accumulate=True),
        lambda y, i, rows: y.index_fill(0, i, 0.5),
    ],
)
@pytest.mark.filterwarnings("ignore:index_reduce")
def test_what_was_found_is_written_back_also_where_nothing_was(
    write: Callable[..., torch.Tensor],
) -> None:
    model, x = Routed(write).eval(), f32(6, 4)
    network = trtdsl.trace(model, (x, torch.tensor([0, 1, 1, 0, 2, 1])))
    for chosen in ([1, 1, 1, 1, 1, 1], [0, 1, 0, 0, 1, 2], [0, 0, 2, 2, 0, 0]):
        given = x, torch.tensor(chosen)
        torch.testing.assert_close(network.evaluate(*given), model(*given))


class Counted(nn.Module):
    """Adds what is as long as the mask is expected to find, with no word of it."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return (x[mask] + torch.arange(3)) * 2


def test_a_number_that_the_model_counts_on_finding() -> None:
    model, x = Counted().eval(), f32(6)
    mask = torch.tensor([True, False, True, False, False, True])
    with pytest.warns(trtdsl.UncheckedWarning, match="counts on 3 of what aten.index(.|\n)*mask"):
        network = trtdsl.trace(model, (x, mask))
    for given in (mask, mask.flip(0), torch.arange(6) > 2):
        torch.testing.assert_close(network.evaluate(x, given), model(x, given))
