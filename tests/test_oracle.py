"""The ONNX path: export, onnxruntime, and the calls to TensorRT's parser in each release."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import onnx
import pytest
import torch
from torch import nn

from tests import standin
from tests.models.randomise import randomise
from trtdsl import oracle
from trtdsl.build import BuildOptions, builder
from trtdsl.cache import Store
from trtdsl.errors import BuildError, ConversionError, RunError, UnavailableError
from trtdsl.network_digest import timing_key
from trtdsl.oracle import OnnxModel
from trtdsl.runtime import device, logger
from trtdsl.types import DimRange, DType

RELATIVE = 1e-5


class Scorer(nn.Module):
    """A dict and a keyword in, a nested dict out; integers, batch norm and dropout on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.body = nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5))
        self.head = nn.Linear(16, 3)

    def forward(self, batch: dict[str, torch.Tensor], *, scale: torch.Tensor) -> dict[str, Any]:
        x = torch.cat([self.embed(batch["ids"]).mean(1), batch["features"]], 1)
        scores = self.head(self.body(x)) * scale
        return {"scores": scores, "best": (scores.argmax(1), [scores.amax(1)])}


def scorer(rows: int = 4, seed: int = 0) -> tuple[nn.Module, dict[str, torch.Tensor], torch.Tensor]:
    torch.manual_seed(seed)
    batch = {"ids": torch.randint(0, 50, (rows, 5)), "features": torch.randn(rows, 4)}
    return Scorer(), batch, torch.tensor([2.0])


@pytest.fixture(scope="module")
def exported() -> tuple[nn.Module, OnnxModel]:
    model, batch, scale = scorer()
    randomise_scorer(model, batch, scale)
    rows = torch.export.Dim("rows", min=1, max=32)
    shapes = {"batch": {"ids": {0: rows}, "features": {0: rows}}}
    return model, OnnxModel.of(model, (batch,), {"scale": scale}, dynamic_shapes=shapes)


def randomise_scorer(model: nn.Module, batch: Any, scale: torch.Tensor) -> None:
    class Wrapper(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: torch.Tensor, features: torch.Tensor) -> Any:
            return self.model({"ids": ids, "features": features}, scale=scale)

    randomise(Wrapper(), (batch["ids"], batch["features"]))


def test_export_names_inputs_outputs_and_sizes_as_trtdsl_does(
    exported: tuple[nn.Module, OnnxModel],
) -> None:
    _, model = exported
    file = onnx.load_from_string(model.data)
    onnx.checker.check_model(file)
    assert [o.version for o in file.opset_import if not o.domain] == [17]
    assert [i.name for i in file.graph.input] == ["batch.ids", "batch.features", "scale"]
    assert [o.name for o in file.graph.output] == ["scores", "best.0", "best.1.0"]
    first = [d.dim_param or d.dim_value for d in file.graph.input[0].type.tensor_type.shape.dim]
    assert first == ["rows", 5]
    assert [spec.name for spec in model.inputs] == [i.name for i in file.graph.input]
    assert str(model.inputs[0]) == "batch.ids: i64[rows, 5]"
    assert model.symbols == {"rows": DimRange(min=1, opt=4, max=32)}


def test_onnxruntime_answers_as_the_module_does(exported: tuple[nn.Module, OnnxModel]) -> None:
    model, _ = exported
    _, batch, scale = scorer(rows=7, seed=3)
    rows = torch.export.Dim("rows", min=1, max=32)
    shapes = {"batch": {"ids": {0: rows}, "features": {0: rows}}}
    ran = oracle.oracle(
        model, (batch,), {"scale": scale}, dynamic_shapes=shapes, backend="onnxruntime"
    )
    assert ran.backend == "onnxruntime"
    assert ran.num_layers is not None
    assert ran.num_layers >= 6
    _, other, _ = scorer(rows=11, seed=4)
    got, expected = ran(other, scale=scale), model(other, scale=scale)
    assert torch.equal(got["best"][0], expected["best"][0])
    for actual, wanted in (
        (got["scores"], expected["scores"]),
        (got["best"][1][0], expected["best"][1][0]),
    ):
        assert actual.shape == wanted.shape
        assert (actual - wanted).abs().max() <= RELATIVE * wanted.abs().max()


def test_export_leaves_the_module_in_eval_mode(exported: tuple[nn.Module, OnnxModel]) -> None:
    """PyTorch's exporter puts a wrapper in training mode back into training, dropout and all."""
    model, _ = exported
    assert not any(m.training for m in model.modules())
    _, batch, scale = scorer()
    first, second = model(batch, scale=scale), model(batch, scale=scale)
    assert torch.equal(first["scores"], second["scores"])


def test_a_module_in_training_mode_is_refused() -> None:
    model, batch, scale = scorer()
    with pytest.raises(ConversionError, match=r"training mode.*\n.*model\.eval\(\)"):
        oracle.export(model, (batch,), {"scale": scale})


def test_bytes_run_with_flat_inputs() -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(6, 4).eval(), torch.randn(3, 6)
    data = oracle.export(model, (x,))
    assert isinstance(data, bytes)
    (y,) = oracle.run_onnxruntime(data, [x])
    torch.testing.assert_close(y, model(x), rtol=RELATIVE, atol=1e-6)
    with pytest.raises(RunError, match="takes 1 inputs, and got 2"):
        oracle.run_onnxruntime(data, [x, x])
    with pytest.raises(RunError, match="refuses to run"):
        oracle.run_onnxruntime(data, [x[:, :5]])
    with pytest.raises(BuildError, match="onnxruntime refuses the ONNX file"):
        oracle.run_onnxruntime(b"not a protobuf", [x])


def test_what_the_exporter_refuses_is_a_conversion_error() -> None:
    class Decomposition(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.svdvals(x)

    with pytest.raises(ConversionError, match=r"torch\.onnx\.export refuses Decomposition"):
        oracle.export(Decomposition().eval(), (torch.eye(3),))


@pytest.mark.parametrize(
    ("dim", "message"),
    [
        (torch.export.Dim("n", min=2), r'size n has no upper bound.*\n.*Dim\("n", min=2, max='),
        (torch.export.Dim.AUTO, r"the ONNX path takes no DimHint.*\n.*torch\.export\.Dim"),
    ],
)
def test_sizes_without_range_are_refused(dim: Any, message: str) -> None:
    with pytest.raises(ConversionError, match=message):
        OnnxModel.of(nn.ReLU().eval(), (torch.ones(4, 2),), dynamic_shapes={"input": {0: dim}})


def test_sizes_may_be_multiples_and_opt_is_taken() -> None:
    class Join(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.repeat(2) + y

    n = torch.export.Dim("n", min=1, max=8)
    model = OnnxModel.of(
        Join().eval(),
        (torch.ones(3), torch.ones(6)),
        dynamic_shapes={"x": {0: n}, "y": {0: 2 * n}},
        opt={"n": 5},
    )
    assert [spec.shape for spec in model.inputs] == [("n",), ("2*n",)]
    assert model.symbols == {"n": DimRange(min=1, opt=5, max=8)}


def test_without_tensorrt_building_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(UnavailableError, match=r"TensorRT cannot be imported.*\n.*pip install"):
        oracle.build_engine(b"")


def test_without_onnxruntime_running_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnavailableError, match=r"onnxruntime.*\n.*trtdsl\[onnx\]"):
        oracle.run_onnxruntime(b"", [])


@pytest.fixture
def releases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Give a release's stand-in, a GPU that is not there, and engines that only hold their plan."""
    gpu = device.Gpu(index=0, name="stand-in", compute_capability="9.0", cuda="12.4", memory=1)
    monkeypatch.setattr(device, "_probe", lambda index: gpu)
    monkeypatch.setattr(device, "primary_context", lambda index: nullcontext())
    monkeypatch.setattr(
        "trtdsl.engine.Engine",
        lambda plan, manifest, device: SimpleNamespace(plan=plan, manifest=manifest),
    )
    caches = (builder, logger.tensorrt_logger)

    def use(version: str, parser: Any) -> Any:
        for cached in caches:
            cached.cache_clear()
        trt = standin.load(version)
        monkeypatch.setitem(sys.modules, "tensorrt", trt)
        monkeypatch.setattr(trt, "OnnxParser", parser(trt), raising=False)
        return trt

    yield use
    for cached in caches:
        cached.cache_clear()


def writing_parser(trt: Any, rows: int = -1) -> Any:
    """A parser, checked by the release's own stand-in, that writes one layer: ``y = relu(x)``."""
    real = trt.OnnxParser

    class Parser:
        def __init__(self, network: Any, log: Any) -> None:
            self.network, self.checked = network, real(network, log)

        def parse(self, data: bytes) -> bool:
            self.checked.parse(data)
            x = self.network.add_input("input", trt.DataType.FLOAT, (rows, 2))
            y = self.network.add_activation(x, trt.ActivationType.RELU).get_output(0)
            y.name = "output"
            y.state |= {"shape": (rows, 2), "dtype": trt.DataType.FLOAT}  # it infers nothing
            self.network.mark_output(y)
            return True

    return Parser


def relu_model() -> OnnxModel:
    n = torch.export.Dim("n", min=1, max=8)
    shapes = {"input": {0: n}}
    return OnnxModel.of(nn.ReLU().eval(), (torch.ones(4, 2),), dynamic_shapes=shapes)


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_every_release_builds_with_a_profile(version: str, releases: Any) -> None:
    trt = releases(version, writing_parser)
    engine = oracle.build_engine(relu_model(), BuildOptions(workspace=1 << 30))
    assert engine.plan.startswith(b"stand-in plan")
    assert engine.manifest.tensorrt == trt.__version__
    assert [str(spec) for spec in engine.manifest.inputs] == ["input: f32[n, 2]"]
    assert engine.manifest.symbols == {"n": DimRange(min=1, opt=4, max=8)}


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_it_shares_the_timings_of_all_builds_and_caches_no_engine(
    version: str, releases: Any, tmp_path: Path
) -> None:
    trt = releases(version, writing_parser)
    for _ in range(2):
        oracle.build_engine(relu_model(), BuildOptions(cache=tmp_path))
    store = Store(tmp_path, limit=0)
    assert [entry.kind for entry in store.entries()] == ["timing"]
    assert store.read("timing", timing_key(trt.__version__, device.require_gpu(0))) is not None


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_fp16_is_a_flag_until_tensorrt_11(version: str, releases: Any) -> None:
    releases(version, writing_parser)
    if version.startswith("11."):
        with pytest.raises(BuildError, match=r"no fp16 flag.*\n.*model\.half\(\)"):
            oracle.build_engine(relu_model(), BuildOptions(precision="fp16"))
    else:
        engine = oracle.build_engine(relu_model(), BuildOptions(precision="fp16"))
        assert engine.manifest.precision == "fp16"
        assert engine.manifest.inputs[0].dtype is DType.FLOAT32


def test_bytes_with_open_sizes_need_their_ranges(releases: Any) -> None:
    releases("10.3.0", writing_parser)
    with pytest.raises(BuildError, match=r"input: f32\[\?, 2\].*open sizes.*\n.*OnnxModel\.of"):
        oracle.build_engine(relu_model().data)


def test_bytes_of_fixed_sizes_are_called_by_position(releases: Any) -> None:
    releases("10.3.0", lambda trt: writing_parser(trt, rows=3))
    manifest = oracle.build_engine(oracle.export(nn.ReLU().eval(), (torch.ones(3, 2),))).manifest
    assert manifest.parameters == ("input",)
    assert manifest.output_tree.unflatten(["y"]) == "y"


@pytest.mark.parametrize("version", ["8.6.1", "10.13.3.9"])
def test_every_parser_error_is_told_with_its_node(version: str, releases: Any) -> None:
    def failing(trt: Any) -> Any:
        def error(node: int, desc: str) -> Any:
            said = {
                "node": node,
                "desc": desc,
                "file": "importer.cpp",
                "line": 88,
                "func": "import",
            }
            if not version.startswith("8."):
                said |= {"node_name": f"/name_{node}", "node_operator": "Einsum"}
            methods = {name: (lambda value=value: value) for name, value in said.items()}
            assert methods.keys() <= trt.ParserError.__dict__.keys(), "as in the real release"
            return SimpleNamespace(**methods)

        errors = [error(0, "no such operator"), error(1, "also bad")]
        return lambda network, log: SimpleNamespace(
            parse=lambda data: False, num_errors=len(errors), get_error=errors.__getitem__
        )

    releases(version, failing)
    model = relu_model()
    with pytest.raises(BuildError) as caught:
        oracle.build_engine(model)
    text = str(caught.value)
    name = onnx.load_from_string(model.data).graph.node[0].name
    first = f"Relu {name!r}" if version.startswith("8.") else "Einsum '/name_0'"
    assert f"{first} (node 0): no such operator [importer.cpp:88, import]" in text
    assert "(node 1): also bad" in text
