"""Plugins of libraries: fields against the creator's declaration, on every release's stand-in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests import standin
from tests.engine_parts import F32
from tests.test_lowering import lowered
from trtdsl import plugins as shipped
from trtdsl.errors import BuildError, LoadError, UnavailableError
from trtdsl.extension import library, plugins
from trtdsl.manifest import PluginName
from trtdsl.network import Network
from trtdsl.tensorrt_api import Api
from trtdsl.types import DType, TensorType

FIELDS = {
    "score_threshold": "FLOAT32",
    "max_boxes": "INT32",
    "anchors": "INT32",
    "mode": "CHAR",
    "stride": "UNKNOWN",
    "scales": "UNKNOWN",
    "layout": "UNKNOWN",
}

KINDS = {True: ("V2",), False: ("V2", "V3")}
"""The kinds of creators, by whether the release is of TensorRT 8."""


class Registry:
    """A registry with one creator, of the interface that a release's library has."""

    def __init__(self, trt: Any, kind: str) -> None:
        self.made = trt.get_plugin_registry().release.new(kind)
        fields = [
            trt.PluginField(n, b"", getattr(trt.PluginFieldType, t)) for n, t in FIELDS.items()
        ]
        self.made.state["field_names"] = trt.PluginFieldCollection(fields)
        self.asked: list[tuple[str, str, str]] = []

    def find(self, name: str, version: str, namespace: str) -> Any:
        self.asked.append((name, version, namespace))
        return self.made if name == "Boxes" else None


class New(Registry):
    """Of TensorRT 10 and later."""

    get_creator = Registry.find


class Old(Registry):
    """Of TensorRT 8."""

    get_plugin_creator = Registry.find


@pytest.fixture(params=[(v, k) for v in standin.VERSIONS for k in KINDS[v[:2] == "8."]])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Any]:
    version, kind = request.param
    trt = standin.load(version)
    old = version.startswith("8.")
    name = "IPluginCreatorV3One" if kind == "V3" else "IPluginCreator"
    registry = (Old if old else New)(trt, name)
    monkeypatch.setattr(trt, "get_plugin_registry", lambda: registry)
    monkeypatch.setattr(library, "_load_own", lambda trt: None)
    return version, registry


def network(**fields: Any) -> Network:
    boxes = shipped.creator(
        "Boxes",
        version="2",
        outputs=lambda x: TensorType(DType.FLOAT32, (x.shape[0], 4)),
        **fields,
    )
    net = Network()
    net.output(boxes(net.input("x", (2, 3))), "y")
    return net


def test_fields_are_what_the_creator_declares(release: tuple[str, Any]) -> None:
    version, registry = release
    fields = {"score_threshold": 1, "max_boxes": 100, "anchors": [1, 2, 3], "mode": "xy"}
    lowered(network(**fields), version)
    (call,) = registry.made.calls
    name, collection = call.args["name"], call.args["field_collection"]
    if type(registry.made).__name__ == "IPluginCreatorV3One":
        assert call.args["phase"].name == "BUILD"
    assert name == "Boxes"
    assert registry.asked == [("Boxes", "2", "")]
    given = {f.name: (f.type.name, f.data.dtype, f.data.tolist()) for f in collection}
    assert given == {
        "score_threshold": ("FLOAT32", np.float32, [1.0]),
        "max_boxes": ("INT32", np.int32, [100]),
        "anchors": ("INT32", np.int32, [1, 2, 3]),
        "mode": ("CHAR", np.int8, [120, 121, 0]),
    }


def test_fields_of_no_declared_type_are_what_their_values_are(release: tuple[str, Any]) -> None:
    version, registry = release
    lowered(network(stride=[1, 2], scales=[1, 0.5], layout="NCHW"), version)
    given = [
        (f.name, f.type.name, f.data.dtype) for f in registry.made.calls[0].args["field_collection"]
    ]
    assert given == [
        ("stride", "INT32", np.int32),
        ("scales", "FLOAT32", np.float32),
        ("layout", "CHAR", np.int8),
    ]


@pytest.mark.parametrize(
    ("handles", "kept"),
    [((), []), (("cublas",), ["CUBLAS"]), (("cublas", "cudnn"), ["CUBLAS", "CUDNN"])],
)
def test_libraries_that_no_plugin_wants_are_left_out(
    handles: tuple[str, ...], kept: list[str]
) -> None:
    """TensorRT 8 would look for them."""
    trt = standin.load("8.6.1")
    names = ("CUBLAS", "CUBLAS_LT", "CUDNN", "EDGE_MASK_CONVOLUTIONS")
    bits = {n: 1 << int(getattr(trt.TacticSource, n)) for n in names}
    given: list[int] = []
    config = SimpleNamespace(
        get_tactic_sources=lambda: sum(bits.values()),
        set_tactic_sources=lambda sources: given.append(sources) or True,
    )
    plugins.configure(trt, config, network(handles=handles))
    assert [n for n, bit in bits.items() if given[0] & bit] == [*kept, "EDGE_MASK_CONVOLUTIONS"]
    with pytest.raises(ValueError, match="not \\['cufft'\\]"):
        network(handles=("cufft",))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (
            {"threshold": 0.5},
            r"no field 'threshold'\n.*\n?.*score_threshold \(FLOAT32\), max_boxes",
        ),
        ({"max_boxes": 0.5}, "max_boxes of plugin Boxes is INT32, not 0.5"),
        ({"max_boxes": 2**31}, "is INT32, which cannot hold 2147483648"),
        ({"mode": 3}, "mode of plugin Boxes is text, not 3"),
        ({"score_threshold": "high"}, "score_threshold of plugin Boxes is FLOAT32, not 'high'"),
    ],
)
def test_fields_that_do_not_fit(
    fields: dict[str, Any], reason: str, release: tuple[str, Any]
) -> None:
    with pytest.raises(BuildError, match=reason):
        lowered(network(**fields), release[0])


def test_a_plugin_that_no_library_has(release: tuple[str, Any]) -> None:
    version, _ = release
    net = Network()
    y = shipped.creator("Absent", outputs=TensorType(DType.FLOAT32, (2,)))(net.input("x", (2,)))
    net.output(y, "y")
    with pytest.raises(BuildError, match=r"has no plugin Absent, version 1[\s\S]*load_library"):
        lowered(net, version)
    trt = standin.load(version)
    listed = plugins.names(net, Api(trt, None))
    assert listed == (PluginName(name="Absent", version="1"),)
    assert replace(F32, plugins=listed).to_json()["plugins"][0]["module"] == ""
    with pytest.raises(LoadError, match="Absent, version 1, of a library that is not loaded"):
        plugins.register(trt, listed)


def test_a_reference_is_what_the_network_evaluates_with() -> None:
    x = torch.arange(6.0).reshape(2, 3)
    with pytest.raises(UnavailableError, match="only TensorRT runs"):
        network().evaluate(x)
    told = network(reference=lambda x: torch.cat([x, x[:, :1]], 1))
    assert told.evaluate(x).tolist() == [[0, 1, 2, 0], [3, 4, 5, 3]]


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_a_library_is_loaded_by_its_path(version: str, tmp_path: Path) -> None:
    path = tmp_path / "libmine.so"
    with standin.installed(version):
        with pytest.raises(BuildError, match=r"there is no library .*libmine\.so"):
            shipped.load_library(path)
        path.write_bytes(b"")
        shipped.load_library(path)
