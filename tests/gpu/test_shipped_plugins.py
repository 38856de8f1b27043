"""The shipped plugins in engines, against their references: many in one engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch

import trtdsl
import trtdsl.plugins
from tests.cases.base import f32
from tests.gpu.merge import Row
from tests.gpu.test_rows import assert_right
from tests.plugins import attending
from tests.plugins.shipped import CASES, HALF, PluginCase
from tests.plugins.test_preference import ROWS, Calls
from tests.test_in_rows import Encoder
from tests.test_ir import assert_close
from trtdsl import registry
from trtdsl.network import Network
from trtdsl.plugins.linear import Linear
from trtdsl.types import DType

pytestmark = pytest.mark.gpu

CHUNK = 30
"""Plugins in an engine."""
FLOAT32 = 1e-5
"""A GPU multiplies and adds in one rounding."""


def of_halves(case: PluginCase) -> bool:
    return any(x.dtype is torch.float16 for x in case.inputs)


def chunks(*, half: bool, dynamic: bool) -> Iterator[object]:
    """The rows in order. An engine has either float16 or float32: TensorRT 8.6 mixes them."""
    kept = [c for c in CASES if of_halves(c) is half and (c.dynamic or not dynamic)]
    for i in range(0, len(kept), CHUNK):
        kind = "half" if half else "single"
        yield pytest.param(kept[i : i + CHUNK], id=f"{kind}-{i // CHUNK}")


def row(case: PluginCase, number: int, grown_by: int | None = None) -> Row:
    inputs = case.inputs if grown_by is None else case.grown(grown_by)
    expected = case.plugin.evaluate(*inputs)
    return Row(
        name=str(case),
        network=case.network(dynamic=grown_by is not None, number=number),
        leaves=list(inputs),
        expected=expected if isinstance(expected, tuple) else (expected,),
        tolerance=max(case.tolerance, FLOAT32),
    )


@pytest.mark.parametrize(
    "cases", [*chunks(half=False, dynamic=False), *chunks(half=True, dynamic=False)]
)
def test_static(cases: Sequence[PluginCase]) -> None:
    assert_right([row(case, i) for i, case in enumerate(cases)])


@pytest.mark.parametrize("grown_by", [0, 5])
@pytest.mark.parametrize(
    "cases", [*chunks(half=False, dynamic=True), *chunks(half=True, dynamic=True)]
)
def test_dynamic(cases: Sequence[PluginCase], grown_by: int) -> None:
    assert_right([row(case, i, grown_by) for i, case in enumerate(cases)])


def test_models_with_operators_that_become_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load()
    for table in ("_CONVERTERS", "_NAMED", "_OF_COMPLEX"):
        monkeypatch.setattr(registry, table, dict(getattr(registry, table)))
    trtdsl.plugins.prefer()
    rows = []
    for name, (function, inputs) in ROWS.items():
        module = Calls(function).eval()
        expected = module(*inputs)
        network = trtdsl.trace(module, inputs)
        rows.append(Row(name, network, list(inputs), (expected,), 1e-4))
    assert_right(rows)


@pytest.fixture
def preferring(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``prefer``, for one test."""
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    return trtdsl.plugins.prefer


@pytest.fixture
def attention(preferring: Callable[..., None]) -> None:
    """Attention by our plugin, for one test."""
    preferring("attention")


def test_attention_that_reads_heads_where_they_are(attention: None) -> None:
    rows = []
    for name in attending.MODELS:
        module, inputs = attending.made(name)
        network = trtdsl.trace(module, inputs, precision="fp16")
        rows.append(Row(name, network, list(inputs), (module(*inputs),), 2 * HALF))
    assert_right(rows)


def test_attention_of_sizes_that_vary(attention: None) -> None:
    module, _ = attending.made("packed")
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=300)}
    engine = trtdsl.convert(
        module, (f32(3, 5, 96),), dynamic_shapes=(sizes,), precision="fp16", backend="tensorrt"
    )
    assert [plugin.name for plugin in engine.manifest.plugins] == ["FlashAttention"]
    for batch, length in ((1, 2), (4, 31), (8, 300), (2, 129)):
        x = f32(batch, length, 96)
        assert_close(engine(x.cuda()).cpu(), module(x), 2 * HALF)


def test_attention_in_float32_is_no_plugin(attention: None) -> None:
    module, inputs = attending.made("interleaved")
    engine = trtdsl.convert(module, inputs, backend="tensorrt")
    assert not engine.manifest.plugins
    assert_close(engine(*(x.cuda() for x in inputs)).cpu(), module(*inputs), FLOAT32)


@pytest.mark.parametrize("names", [("normalization",), ("gelu",), ("normalization", "gelu")])
def test_an_encoder_whose_norms_add(
    names: tuple[str, ...], preferring: Callable[..., None]
) -> None:
    """Rows as a matrix, and at sizes that vary."""
    preferring(*names)
    torch.manual_seed(0)
    model = Encoder().eval()
    model.places = torch.nn.Parameter(f32(1, 1, 16))
    x = f32(3, 5, 16)
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=64)}
    for dynamic, shapes in ((None, [(3, 5)]), ((sizes,), [(1, 2), (8, 33), (8, 64)])):
        engine = trtdsl.convert(
            model, (x,), dynamic_shapes=dynamic, precision="fp16", backend="tensorrt"
        )
        plugins = {plugin.name for plugin in engine.manifest.plugins}
        assert plugins == {"LayerNorm" if n == "normalization" else "Gelu" for n in names}
        for shape in shapes:
            given = f32(*shape, 16)
            for actual, wanted in zip(engine(given.cuda()), model(given), strict=True):
                assert_close(actual.cpu(), wanted, 2 * HALF)


LINEAR = ((6304, 768, 768), (2000, 72, 1048), (1100, 1032, 2304), (20000, 64, 80), (131, 8, 8200))
"""Rows, and sizes of a weight: whole tiles of the kernels, and parts of them."""


@pytest.mark.parametrize("function", ["", "relu", "gelu", "gelu_tanh"])
def test_linear_layers(function: str) -> None:
    """Static, and of sizes that vary."""
    layer, rows = Linear(function=function), []
    for i, (height, depth, width) in enumerate(LINEAR):
        whole = f32(1, height, depth), f32(1, width, depth) / depth**0.5, f32(1, 1, width)
        x, *constants = (t.half() for t in whole[: 3 - i % 2])
        expected = layer.evaluate(*(t.float() for t in (x, *constants))).half()
        for dynamic in (False, True):
            net = Network(f"linear_{i}_{dynamic}")
            count = net.dim(f"n_{i}", min=1, opt=height, max=height) if dynamic else height
            given = net.input("x0", (1, count, depth), DType.FLOAT16)
            net.output(layer(given, *map(net.constant, constants)), "y0")
            rows.append(Row(f"{i}, {dynamic}", net, [x], (expected,), HALF))
    assert_right(rows)


class Feed(torch.nn.Module):
    """A transformer's layer without its attention, wide enough for the kernel."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.LayerNorm(1024)
        self.wide, self.narrow = torch.nn.Linear(1024, 4096), torch.nn.Linear(4096, 1024)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.narrow(torch.nn.functional.gelu(self.wide(self.norm(x))))


def test_linear_layers_of_a_model(preferring: Callable[..., None]) -> None:
    """Rows as a matrix, sizes that vary, and other weights."""
    preferring("linear")
    model, other = Feed().eval(), Feed().eval()
    torch.nn.init.normal_(other.wide.weight, std=0.02)
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=300)}
    for dynamic, shapes in ((None, [(8, 150)]), ((sizes,), [(8, 150), (1, 2), (7, 299)])):
        engine = trtdsl.convert(
            model,
            (f32(8, 150, 1024),),
            dynamic_shapes=dynamic,
            precision="fp16",
            backend="tensorrt",
            refit=True,
        )
        assert [plugin.name for plugin in engine.manifest.plugins] == ["Linear"]
        for now in (model, other):
            engine.refit(now.state_dict())
            for shape in shapes:
                x = f32(*shape, 1024)
                assert_close(engine(x.cuda()).cpu(), now(x), 2 * HALF)
