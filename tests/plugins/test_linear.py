"""`Linear`: its kernel on the CPU, the tiles it chooses, and what it leaves to layers."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

import trtdsl
import trtdsl.plugins
from tests.cases.base import f32
from tests.plugins.emulation import COMPILER, emulate
from tests.test_ir import assert_close
from trtdsl import registry
from trtdsl.errors import ShapeError
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.ir.activation import Activation, ActivationType
from trtdsl.network import Network
from trtdsl.passes.followed import with_followers
from trtdsl.passes.rows import in_rows
from trtdsl.passes.untaken import without_others
from trtdsl.plugins import linear as module
from trtdsl.plugins.gelu import Gelu
from trtdsl.plugins.linear import Linear
from trtdsl.plugins.tiles import _TILES, Tile, best
from trtdsl.types import DType, TensorType

HALF, BF16 = 1e-3, 8e-3
"""A rounding, of the largest magnitude."""
TILES = {tile.kernel: tile for tile in _TILES}
H200 = 132
"""Its multiprocessors."""

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")


@pytest.fixture
def by(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a kernel and a direction chosen, on a GPU of four multiprocessors."""

    def choose(tile: Tile, *, abreast: bool) -> None:
        monkeypatch.setattr(module, "best", lambda *_: (tile, abreast))

    monkeypatch.setattr(module, "multiprocessors", lambda: 4)
    return choose


def operands(rows: int, depth: int, columns: int, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    weight = f32(columns, depth, seed=1) / depth**0.5
    return tuple(x.to(dtype) for x in (f32(rows, depth), weight, f32(1, columns, seed=2)))


@needs_compiler
@pytest.mark.parametrize("abreast", [True, False])
@pytest.mark.parametrize("kernel", TILES)
def test_the_kernel_computes_what_the_reference_does(
    kernel: str, abreast: bool, by: Callable[..., None]
) -> None:
    """Several tiles for a block, the last ones of them cut, and more stages than there is room."""
    by(TILES[kernel], abreast=abreast)
    inputs = operands(600, 72, 424, torch.float16)
    (y,) = emulate(Linear(), inputs)
    assert_close(y.float(), Linear().evaluate(*(x.float() for x in inputs)), HALF)


@needs_compiler
@pytest.mark.parametrize("function", ["relu", "gelu", "gelu_tanh"])
def test_functions_of_deep_sums_without_a_bias(function: str, by: Callable[..., None]) -> None:
    layer = Linear(function=function)
    by(TILES["turns_of_128_by_128"], abreast=True)
    x, weight, _ = operands(40, 1000, 136, torch.bfloat16)
    (y,) = emulate(layer, (x, weight))
    assert_close(y.float(), layer.evaluate(x.float(), weight.float()), BF16)


@needs_compiler
def test_nan_and_infinity_stay(by: Callable[..., None]) -> None:
    by(TILES["turns_of_128_by_128"], abreast=True)
    x, weight = torch.ones(3, 8).half(), torch.eye(8).half()
    x[0, 0], x[1, 1], x[2, 2] = float("nan"), float("inf"), 60000.0
    for function in ("relu", "gelu"):
        (y,) = emulate(Linear(function=function), (x, weight))
        assert y[0].isnan().all()
        assert y[1, 1] == float("inf")
        assert y[2, 2] == 60000


@pytest.mark.parametrize("kind", [("float16", "f16"), ("bfloat16", "bf16")])
def test_the_kernel_compiles_for_hopper(kind: tuple[str, str]) -> None:
    dtypes = [DType(kind[0])] * 4
    defines = Linear(function="gelu").defines(*dtypes)
    assert dict(defines)["TYPE"] == kind[1]
    try:
        assert compile_cuda(Linear.kernel, "90a", defines)[:4] == b"\x7fELF"
    except trtdsl.UnavailableError as error:
        pytest.skip(str(error))


def test_the_tiles_cover_every_product_once() -> None:
    draw = random.Random(0)
    for _ in range(300):
        rows, columns = draw.randint(1, 20000), 8 * draw.randint(1, 1000)
        depth = 8 * draw.randint(1, 600)
        tile, abreast = best(rows, columns, depth, H200)
        tall, across = -(-rows // tile.high), -(-columns // tile.wide)
        pairs = tile.pairs(rows, columns, abreast)
        assert tall * across <= 2 * pairs <= tall * across + (tall if abreast else across)
        blocks = tile.blocks(rows, columns, abreast, H200)
        assert blocks % 2 == 0
        assert 0 < blocks <= min(2 * pairs, H200)
        assert tile.shared <= 227 << 10
        assert tile.threads == 128 * (tile.groups + 1)


def test_the_products_of_a_vision_transformer_fill_the_gpu() -> None:
    """ViT-B/16 of 32 images: 33 by 4, and 33 by 24 tiles, on 132 multiprocessors."""
    assert best(6304, 768, 768, H200)[0].kernel == "one_of_192_by_192"
    assert best(6304, 768, 3072, H200)[0].kernel == "one_of_192_by_192"
    assert best(6304, 3072, 768, H200)[0].kernel == "turns_of_192_by_128"


def typed(*shape: Any, dtype: DType = DType.FLOAT16) -> TensorType:
    return TensorType(dtype, shape)


X, WEIGHT, BIAS = typed(8, 500, 64), typed(1, 512, 64), typed(1, 1, 512)

REFUSED = {
    "rows of one axis": ((typed(64), typed(512)), "takes rows, weight and a bias"),
    "two biases": ((X, WEIGHT, BIAS, BIAS), "takes rows, weight and a bias"),
    "another depth": ((X, typed(1, 512, 72)), r"takes a weight \(1, .., N, 64\)"),
    "a flat weight": ((X, typed(512, 64)), r"takes a weight \(1, .., N, 64\)"),
    "a weight of each": ((X, typed(8, 512, 64)), r"takes a weight \(1, .., N, 64\)"),
    "another bias": ((X, WEIGHT, typed(1, 1, 64)), "takes a bias"),
    "two dtypes": ((X, typed(1, 512, 64, dtype=DType.FLOAT32)), "floats of one dtype"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    inputs, message = REFUSED[name]
    with pytest.raises(ShapeError, match=message):
        Linear().infer(*inputs)


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(ShapeError, match="not function 'swish'"):
        Linear(function="swish").infer(X, WEIGHT)


@pytest.mark.parametrize("of", ["9.0", "8.0", "10.0", ""])
def test_only_an_engine_for_hopper_has_the_kernel(of: str) -> None:
    net = Network()
    x, weight, bias = f32(2, 5, 16), f32(1, 24, 16), f32(1, 1, 24)
    y = Linear(function="gelu")(net.input("x", x.shape), *map(net.constant, (weight, bias)))
    net.output(y, "y")
    changed = without_others(net, of)
    assert (plugins(changed) == ["gelu"]) is (of == "9.0")
    assert_close(changed.evaluate(x), net.evaluate(x), 2e-6)


LEFT = {
    "float32": (typed(8, 500, 64, dtype=DType.FLOAT32), typed(1, 512, 64, dtype=DType.FLOAT32)),
    "an odd depth": (typed(8, 500, 60), typed(1, 512, 60)),
    "odd columns": (X, typed(1, 516, 64)),
    "few rows": (typed(1, 100, 64), WEIGHT),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_the_kernel_does_not_take_is_left_to_layers(name: str) -> None:
    assert Linear().takes(X, WEIGHT)
    assert not Linear().takes(*LEFT[name])


@pytest.mark.parametrize("function", ["", "relu", "gelu", "gelu_tanh"])
def test_the_layers_that_it_stands_for_compute_the_same(function: str) -> None:
    layer = Linear(function=function)
    x, weight, bias = f32(2, 5, 16), f32(1, 24, 16, seed=1), f32(1, 1, 24, seed=2)
    for given in ((weight, bias), (weight,)):
        net = Network()
        net.output(layer.expand(net.input("x", x.shape), *map(net.constant, given)), "y")
        assert_close(net.evaluate(x), layer.evaluate(x, *given), 2e-6)


def test_a_function_becomes_the_kernels_where_nothing_else_reads_the_product() -> None:
    gelu = Activation(type=ActivationType.GELU_ERF)
    for layer, read_too, wanted in ((gelu, 0, 1), (Gelu(), 0, 1), (gelu, 1, 2)):
        net = Network()
        x = net.input("x", (2, 5, 16))
        product = Linear()(x, net.constant(f32(1, 24, 16)))
        net.output(layer(product), "y")
        if read_too:
            net.output(product, "z")
        changed = with_followers(net)
        layers = [op.layer for op in changed.operations if not op.outputs[0].is_constant]
        assert len(layers) == wanted
        assert (Linear(function="gelu") in layers) is not read_too
        pair = net.evaluate(f32(2, 5, 16)), changed.evaluate(f32(2, 5, 16))
        before, after = (y if isinstance(y, tuple) else (y,) for y in pair)
        for one, other in zip(before, after, strict=True):
            assert_close(other, one, 1e-6)


class Feed(torch.nn.Module):
    """Linear layers as models write them: of rows, and of a matrix made of rows."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.norm = torch.nn.LayerNorm(64)
        self.wide, self.narrow = torch.nn.Linear(64, 512), torch.nn.Linear(512, 64, bias=False)
        self.weight, self.bias = torch.nn.Parameter(f32(64, 512)), torch.nn.Parameter(f32(512))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = torch.nn.functional.gelu(self.wide(self.norm(x)))
        more = torch.addmm(self.bias, x.view(-1, 64), self.weight).view(wide.shape)
        return x + self.narrow(wide) + self.narrow(torch.nn.functional.relu(more))


@pytest.fixture
def preferring(monkeypatch: pytest.MonkeyPatch) -> None:
    registry.load()
    monkeypatch.setattr(registry, "_CONVERTERS", dict(registry._CONVERTERS))
    monkeypatch.setattr(module, "_LEAST", 1)
    trtdsl.plugins.prefer("linear", "gelu")


def plugins(net: Network) -> list[str]:
    return sorted(op.layer.function for op in net.operations if isinstance(op.layer, Linear))


@pytest.mark.usefixtures("preferring")
def test_linear_layers_of_a_model() -> None:
    model, x = Feed().eval(), f32(3, 5, 64)
    net = trtdsl.trace(model, (x,), precision="fp16")
    assert_close(net.evaluate(x), model(x), 2 * HALF)
    prepared = in_rows(with_followers(net))
    assert plugins(prepared) == ["", "", "gelu", "relu"]
    ranks = {op.inputs[0].rank for op in prepared.operations if isinstance(op.layer, Linear)}
    assert ranks == {2}
    assert_close(prepared.evaluate(x), model(x), 2 * HALF)


@pytest.mark.usefixtures("preferring")
def test_in_float32_they_are_the_layers_that_they_were() -> None:
    model, x = Feed().eval(), f32(3, 5, 64)
    net = trtdsl.trace(model, (x,))
    assert not plugins(net)
    assert_close(net.evaluate(x), model(x), 1e-5)


@pytest.mark.usefixtures("preferring")
def test_sizes_may_vary() -> None:
    model = Feed().eval()
    sizes = {0: torch.export.Dim("b", min=1, max=8), 1: torch.export.Dim("n", min=2, max=64)}
    net = trtdsl.trace(model, (f32(3, 5, 64),), dynamic_shapes=(sizes,), precision="fp16")
    assert plugins(net) == ["", "", "", ""]
    for shape in ((1, 2), (3, 5), (8, 64)):
        x = f32(*shape, 64)
        assert_close(net.evaluate(x), model(x), 2 * HALF)
