"""``Engine.profile``: medians, modules by name, JSON, Chrome trace and table."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from tests import standin
from trtdsl import layer_times
from trtdsl.errors import RunError
from trtdsl.layer_times import LayerTime, Profile, measure, module_of

PROFILE = Profile(
    layers=(
        LayerTime(name="a.0.conv/convolution + a.0.act/relu", module="a.0.conv", milliseconds=0.5),
        LayerTime(name="a.1.conv/convolution", module="a.1.conv", milliseconds=0.25),
        LayerTime(name="[shuffle]", module="", milliseconds=0.25),
    ),
    runs=4,
)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("layer1.0.conv1/convolution", "layer1.0.conv1"),
        ("a.conv/convolution + a.act/relu", "a.conv"),
        ("PWN(PWN(net.silu/sigmoid), net.silu/elementwise)", "net.silu"),
        ("Reformatting CopyNode for Input Tensor 0 to fc/matrix_multiply", "fc"),
        ("{ForeignNode[enc.0.norm/cast...enc.1.mlp/gelu.2]}", "enc"),
        ("{ForeignNode[enc.0.norm/cast...enc.0.mlp/gelu]}", "enc.0"),
        ("{ForeignNode[enc.norm/cast...dec.mlp/gelu]}", ""),
        ("matrix_multiply", ""),
    ],
)
def test_module_of_a_layer(name: str, module: str) -> None:
    assert module_of(name) == module


def test_medians_without_the_first_runs() -> None:
    recorder = SimpleNamespace(times={})
    values = iter([90, 90, 90, 3, 1, 2, 50, 2])

    def run() -> None:
        recorder.times.setdefault("a/relu", []).append(float(next(values)))
        recorder.times.setdefault("loop/add", []).extend([1.0, 1.0])

    profile = measure(run, recorder, 5)
    assert [(x.module, x.milliseconds) for x in profile.layers] == [("a", 2.0), ("loop", 2.0)]
    assert profile.milliseconds == 4.0
    assert profile.runs == 5


def test_no_runs_and_no_layers_are_errors() -> None:
    with pytest.raises(RunError, match="at least 1 run, not 0"):
        measure(lambda: None, SimpleNamespace(times={}), 0)
    with pytest.raises(RunError, match="time of no layer"):
        measure(lambda: None, SimpleNamespace(times={}), 1)


def test_sums_by_module() -> None:
    assert PROFILE.modules() == {"a.0.conv": 0.5, "a.1.conv": 0.25, "": 0.25}
    assert PROFILE.modules(depth=1) == {"a": 0.75, "": 0.25}


def test_json_and_trace() -> None:
    found = json.loads(json.dumps(PROFILE.to_json()))
    assert found["milliseconds"] == 1.0
    assert found["layers"][1] == {
        "name": "a.1.conv/convolution",
        "module": "a.1.conv",
        "milliseconds": 0.25,
    }
    events = json.loads(json.dumps(PROFILE.to_chrome_trace()))["traceEvents"]
    layers = [e for e in events if e.get("cat") == "layer"]
    assert [(e["ts"], e["dur"]) for e in layers] == [(0, 500), (500, 250), (750, 250)]
    assert [e["name"] for e in events if e.get("cat") == "module"][2] == "model"
    assert {e["args"]["name"] for e in events if e["ph"] == "M"} == {"modules", "layers"}


def test_table() -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(PROFILE)
    text = console.export_text()
    assert "a.0.conv/convolution + a.0.act/relu" in text
    assert "[shuffle]" in text
    assert "50.0%" in text
    assert "(model)" in text
    assert str(PROFILE).startswith("1.0000 ms in 3 layers, 4 runs\n    0.5000 ms  a.0.conv")


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_every_release_takes_the_recorder(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trt = standin.load(version)
    monkeypatch.setattr(layer_times, "import_tensorrt", lambda: trt)
    recorder = layer_times.make_recorder()
    recorder.report_layer_time("a/relu", 1.5)
    assert recorder.times == {"a/relu": [1.5]}
    trt.IExecutionContext.release.new("IExecutionContext").profiler = recorder
