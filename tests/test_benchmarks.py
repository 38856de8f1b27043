"""What the benchmarks of a GPU build and hold against each other, as far as a CPU can tell."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks import paths, plugin_calls, plugins, prepared, suppression, zoo
from benchmarks.models import Case
from tests.models import vision_operators
from tests.plugins.queued import KERNEL
from trtdsl.layers import detection
from trtdsl.network import Network
from trtdsl.plugins import suppression as suppression_plugin

assert vision_operators.SCHEMAS, "torchvision's operators are declared"
CHEAP = ("cummax", "searchsorted", "scatter_add", "rfft")


@pytest.mark.parametrize("case", CHEAP)
def test_both_ways_of_an_operator_answer_alike(case: str) -> None:
    *functions, inputs = plugins._made(case)
    layers, plugin = (plugins._network(f, inputs).evaluate(*inputs) for f in functions)
    assert (layers - plugin).abs().max() <= 1e-5 * layers.abs().max()


def test_suppression_keeps_what_torchvision_does() -> None:
    boxes, scores = suppression._boxes(300)
    kept = vision_operators.nms(boxes, scores, suppression._OVERLAP)
    for nms in (detection.nms, suppression_plugin.nms):
        total = suppression._ours(300, nms).evaluate(boxes, scores)
        torch.testing.assert_close(total, scores[kept].sum(0, keepdim=True))
    assert 10 < len(kept) < 300


def test_the_same_kernel_inside_an_engine_and_alone() -> None:
    assert plugin_calls.DoubledInCuda.kernel == KERNEL
    net = Network()
    net.output(plugin_calls.DoubledInCuda(shift=1.5)(net.input("x", (8,))), "y")
    x = torch.arange(8.0)
    assert torch.equal(net.evaluate(x), 2 * x + 1.5)


class Answers:
    """An engine of so much of the model's answer."""

    def __init__(self, share: float, call: paths.Call) -> None:
        self.share, self.model = share, call.model

    def __call__(self, *args: object, **kwargs: object) -> torch.Tensor:
        with torch.no_grad():
            return self.model(*args, **kwargs) * self.share

    def save(self, path: Path) -> None:
        path.touch()


@pytest.fixture
def on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for moved in (torch.Tensor, nn.Module):
        monkeypatch.setattr(moved, "cuda", lambda self: self)


@pytest.mark.usefixtures("on_the_cpu")
def test_what_is_found_of_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(call: paths.Call, precision: str) -> Answers:
        raise ValueError("no such operator")

    def right(call: paths.Call, precision: str) -> Answers:
        return Answers(1.0, call)

    def wrong(call: paths.Call, precision: str) -> Answers:
        return Answers(1.001, call)

    ways: dict[str, Callable[..., Answers]] = {"right": right, "wrong": wrong, "refused": refused}
    monkeypatch.setattr(prepared, "WAYS", ways)
    prepared._prepare("small/mixer@5", tmp_path)
    found = json.loads((tmp_path / "found.json").read_text())
    assert [found[way].get("right") for way in ways] == [True, False, False]
    assert found["right"]["relative_error"] <= 1e-6
    assert found["wrong"]["relative_error"] == pytest.approx(1e-3, rel=1e-2)
    assert found["refused"]["failure"] == "ValueError: no such operator"
    (given,) = torch.load(tmp_path / "inputs.pt", weights_only=True)
    assert given.shape[0] == 5


def test_a_process_that_fails_says_so(tmp_path: Path) -> None:
    found = prepared.prepare(["no_such_model"], tmp_path, jobs=1, limit=600)
    (ways,) = found.values()
    assert set(ways) == {"pytorch", "trtdsl", "onnx"}
    assert all("no model 'no_such_model' in the tables" in way["failure"] for way in ways.values())


def test_a_process_that_died_fails_one_case(tmp_path: Path) -> None:
    worker = prepared._Worker({})
    for name in ("first", "second", "third"):
        found = worker.prepare("no_such_model", tmp_path / name, 600)
        ending = "ended with -9" if name == "second" else "no model 'no_such_model'"
        assert ending in found["trtdsl"]["failure"]
        if name == "first":
            assert worker._process is not None
            worker._process.kill()
            worker._process.join()
    assert worker.stop() is not None


def test_all_gpus_that_are_seen_build_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert prepared._gpus(3) == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert prepared._gpus(2) == ["3", "3"]


def test_a_case_that_is_not_built_in_time_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with zoo.built(["small/mixer-fp16"], 1, 0.0) as run:
        row = run("small/mixer-fp16")
    assert "engine" not in row
    assert "was not done" in row["trtdsl"]["failure"]
    assert zoo._error(row, "trtdsl") == "no time"


def test_what_there_was_no_time_for_is_not_wrong() -> None:
    pytorch = {"relative_error": 0.0}
    slow = {"failure": "it was not done", "unfinished": True, "right": False}
    rows = [
        {"case": "a", "pytorch": pytorch, "trtdsl": way}
        for way in (slow, {"failure": "refused", "right": False}, {"right": True})
    ]
    (wrong,) = zoo._targets(rows)
    assert wrong.value == 1


def test_a_batch_that_a_model_has_not() -> None:
    with pytest.raises(ValueError, match="fixed"):
        prepared.example(Case.parse("small/siglip2@5"))
