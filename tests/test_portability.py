"""Plans for other versions and GPUs: what builds ask for, what loading checks, what is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from tests import standin
from tests.engine_parts import F32, PLAN
from trtdsl.build import BuildOptions, _served, build
from trtdsl.errors import BuildError, LoadError
from trtdsl.inspection import layer_table, manifest_table, memory_table, precisions
from trtdsl.manifest import Manifest
from trtdsl.network import Network
from trtdsl.runtime import files, plan
from trtdsl.runtime.device import Gpu


def network() -> Network:
    net = Network()
    net.output(net.input("x", (2,)) + 1, "y")
    return net


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_each_release_is_asked_for_what_it_has(
    version: str, building: Callable[[str], Any]
) -> None:
    trt = building(version)
    manifest = build(
        network(), BuildOptions(version_compatible=True, hardware_compatible=True)
    ).manifest
    (config,) = trt.configs
    assert "VERSION_COMPATIBLE" in config.state["flag_names"]
    assert config.hardware_compatibility_level == trt.HardwareCompatibilityLevel.AMPERE_PLUS
    assert (manifest.version_compatible, manifest.hardware) == (True, "ampere_plus")
    same = BuildOptions(hardware_compatible="same_compute_capability")
    if hasattr(trt.HardwareCompatibilityLevel, "SAME_COMPUTE_CAPABILITY"):
        assert build(network(), same).manifest.hardware == "same_compute_capability"
    else:
        with pytest.raises(BuildError, match=r"has no HardwareCompatibilityLevel\.SAME_COMPUTE"):
            build(network(), same)
    plain = build(network()).manifest
    assert (plain.version_compatible, plain.hardware) == (False, "same")
    assert "VERSION_COMPATIBLE" not in trt.configs[-1].state["flag_names"]


def test_8_6_cannot_refit_what_other_versions_load(building: Callable[[str], Any]) -> None:
    building("8.6.1")
    with pytest.raises(BuildError, match=r"8\.6\.1 cannot refit version-compatible plans"):
        build(network(), BuildOptions(version_compatible=True, refit=True))
    building("10.3.0")
    assert build(network(), BuildOptions(version_compatible=True, refit=True)).manifest.refit


@pytest.mark.parametrize(
    ("hardware", "served"), [(False, "9.0"), ("same_compute_capability", "9.0"), (True, "")]
)
def test_an_engine_for_several_kinds_of_gpus_is_for_none_of_them_alone(
    hardware: bool | str, served: str
) -> None:
    gpu = Gpu(index=0, name="GPU", compute_capability="9.0", cuda="12.4", memory=1)
    assert _served(BuildOptions(hardware_compatible=hardware), gpu) == served


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hardware_compatible": "turing"}, "hardware_compatible is 'turing'; it is False, True"),
        ({"hardware_compatible": None}, "hardware_compatible is None"),
        ({"version_compatible": 1}, "version_compatible is 1; it is True or False"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        BuildOptions(**options)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Be on a machine with this TensorRT and a GPU of this compute capability."""

    def be(version: str, capability: str) -> None:
        gpu = Gpu(index=0, name="GPU", compute_capability=capability, cuda="12.4", memory=1)
        monkeypatch.setattr(files, "import_tensorrt", lambda: SimpleNamespace(__version__=version))
        monkeypatch.setattr(files, "require_gpu", lambda index: gpu)

    return be


PLUS, SAME = {"hardware": "ampere_plus"}, {"hardware": "same_compute_capability"}
LATER = {"version_compatible": True}


@pytest.mark.parametrize(
    ("built", "version", "capability", "reason"),
    [
        ({}, "10.13.3.9", "9.0", None),
        ({}, "10.13.3.9", "8.0", "built for compute capability 9.0"),
        (PLUS, "10.13.3.9", "8.0", None),
        (PLUS, "10.13.3.9", "12.0", None),
        (PLUS, "10.13.3.9", "7.5", "9.0 .* and all from 8.0 on, and GPU 0 here is"),
        (SAME, "10.13.3.9", "9.0", None),
        (SAME, "10.13.3.9", "8.9", "built for compute capability 9.0"),
        ({}, "10.14.1", "9.0", "another version: a plan needs the very version that built it"),
        (LATER, "10.14.1", "9.0", None),
        (LATER, "10.13.3.10", "9.0", None),
        (LATER, "10.3.0", "9.0", "or a later one of the same major"),
        (LATER, "11.0.0", "9.0", "another major version: this plan needs"),
        (LATER | PLUS, "10.14.1", "8.6", None),
    ],
)
def test_where_a_plan_may_be_loaded(
    built: dict[str, Any],
    version: str,
    capability: str,
    reason: str | None,
    here: Callable[[str, str], None],
) -> None:
    here(version, capability)
    manifest = replace(F32, **built)
    if reason is None:
        files.check_compatible("m.engine", manifest, 0)
    else:
        with pytest.raises(LoadError, match=reason):
            files.check_compatible("m.engine", manifest, 0)


@pytest.mark.parametrize("allowed", [False, True])
def test_host_code_runs_only_where_the_manifest_says_so(
    allowed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contextlib import nullcontext

    runtimes: list[Any] = []

    def runtime(log: Any) -> Any:
        runtimes.append(SimpleNamespace(deserialize_cuda_engine=lambda data: None))
        return runtimes[-1]

    monkeypatch.setattr(
        plan, "import_tensorrt", lambda: SimpleNamespace(Runtime=runtime, __version__="10.3.0")
    )
    monkeypatch.setattr(plan, "require_gpu", lambda index: None)
    monkeypatch.setattr(plan, "primary_context", lambda index: nullcontext())
    monkeypatch.setattr(plan.logger, "tensorrt_logger", lambda: None)
    with pytest.raises(LoadError, match="refused the plan"):
        plan.deserialize(PLAN, replace(F32, version_compatible=allowed), 0)
    assert runtimes[0].engine_host_code_allowed is allowed


LAYERS: list[dict[str, Any]] = [
    {
        "Name": "conv1 + relu",
        "LayerType": "CaskConvolution",
        "Outputs": [{"Dimensions": [1, 8], "Format/Datatype": "Row major linear FP16 format"}],
        "TacticName": "sm80_xmma_fprop",
    },
    {"Name": "fc", "Outputs": [{"Format/Datatype": "Half"}]},
    {"Name": "softmax", "Outputs": [{"Format/Datatype": "Row major linear FP32"}]},
    {"Name": "only a name"},
]


def shown(table: Any) -> str:
    console = Console(file=StringIO(), width=200)
    console.print(table)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_layers_are_counted_by_precision() -> None:
    assert precisions(LAYERS) == {"FP16": 2, "FP32": 1, "other": 1}
    assert precisions([]) == {}


def test_what_inspect_shows() -> None:
    refit = {"weights": {"w": [0, 0, "float32"]}, "keys": {"a": 1, "b": 2}}
    manifest: Manifest = replace(
        F32, refit=refit, stripped=True, version_compatible=True, hardware="ampere_plus"
    )
    facts = shown(manifest_table(Path("m.engine"), manifest))
    for words in (
        "n is 0 to 100, tuned for 2",
        "TensorRT 10.13.3.9 and later 10.x; GPUs from Ampere on",
        "1 weights from 2 keys, none of them in the plan",
    ):
        assert words in facts
    assert "TensorRT 10.13.3.9; the model of GPU" in shown(manifest_table(Path("m"), F32))
    engine: Any = SimpleNamespace(plan=PLAN, device_memory=4096, inspect=lambda: LAYERS)
    memory = shown(memory_table(engine))
    for words in ("1.3 kB", "4.1 kB", "2 FP16, 1 FP32, 1 other"):
        assert words in memory
    layers = shown(layer_table(LAYERS))
    for words in ("4 layers", "conv1 + relu", "CaskConvolution", "[1, 8]", "sm80_xmma_fprop"):
        assert words in layers
