"""Refitting: recipes against a fresh lowering of the new weights, and every way to be refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trtdsl
from tests import standin
from tests.models.randomise import randomise
from tests.standin.refitting import engine_of, named
from trtdsl.build import BuildOptions, build
from trtdsl.errors import BuildError, LoadError, RunError
from trtdsl.lower import lower
from trtdsl.network import Network
from trtdsl.passes.channel_scales import channel_scales
from trtdsl.passes.prepared import prepared_for
from trtdsl.tensorrt_api import Api, network_flags
from trtdsl.weights.recipe import Recipes
from trtdsl.weights.recording import base_state, record
from trtdsl.weights.refit import Refitting


class Tied(nn.Module):
    """An embedding whose table is also the last layer's matrix, and a buffer of no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.norm = nn.LayerNorm(6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("unused", torch.zeros(3))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.head(self.norm(self.embed(ids)))
        return y


class Attention(nn.Module):
    """One matrix, of which a layer reads thirds; the first third starts where the matrix does."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Parameter(torch.randn(24, 8))
        self.out = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (nn.functional.linear(x, w) for w in self.qkv.chunk(3))
        y: torch.Tensor = self.out((q @ k.transpose(-1, -2)).softmax(-1) @ v)
        return y + nn.functional.linear(x, self.qkv).sum()


def convolutional() -> tuple[nn.Module, tuple[Any, ...]]:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2, groups=2), nn.BatchNorm2d(4), nn.GroupNorm(2, 4),
        nn.Flatten(), nn.Linear(4 * 7 * 7, 5), nn.BatchNorm1d(5),
    )  # fmt: skip
    return model, (torch.randn(2, 3, 8, 8),)


class Parallel(nn.Module):
    """Tokens of an image's patches, and a block whose attention and MLP are added."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, stride=2)
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        sums: torch.Tensor = x + self.out(y) + self.down(self.up(x).relu())
        return sums


MODELS: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "convolutional": convolutional,
    "tied": lambda: (Tied(), (torch.tensor([[1, 2, 3]]),)),
    "attention": lambda: (Attention(), (torch.randn(2, 5, 8),)),
    "parallel": lambda: (Parallel(), (torch.randn(2, 3, 4, 6),)),
    "lstm": lambda: (nn.LSTM(4, 3, num_layers=2, bidirectional=True), (torch.randn(5, 2, 4),)),
    "encoder": lambda: (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (torch.randn(2, 5, 8),),
    ),
}


def made(name: str, seed: int) -> tuple[nn.Module, tuple[Any, ...]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, inputs = MODELS[name]()
        if not isinstance(model, Tied):
            randomise(model, inputs, seed=seed)
        return model.eval(), inputs


def lowered(network: Network, version: str) -> tuple[Any, Recipes]:
    """The stand-in's network, as a build makes it, with its weights named; and the recipes."""
    trt = standin.load(version)
    network = prepared_for(network, trt)
    trt_network = trt.Builder(trt.Logger()).create_network(network_flags(trt))
    api = Api(trt, trt_network)
    lower(network, api, infers=False)
    recipes = record(network, api)
    trt_network.state["memory"] = api.placed
    return trt_network, Recipes.from_json(json.loads(json.dumps(recipes.to_json())))


@pytest.fixture
def release(building: Callable[[str], Any]) -> Callable[[str], Any]:
    return building


VERSIONS = ("8.6.1", "10.0.1", "10.16.1.11", "11.4.0.106")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("precision", [None, "fp16"])
@pytest.mark.parametrize("name", MODELS)
def test_refitted_weights_are_those_of_a_fresh_lowering(
    name: str, precision: str | None, version: str, release: Callable[[str], Any]
) -> None:
    (old, inputs), (new, _) = made(name, 0), made(name, 1)
    networks = [trtdsl.trace(model, inputs, precision=precision) for model in (old, new)]
    release(version)
    before, recipes = lowered(networks[0], version)
    wanted = named(lowered(networks[1], version)[0])
    engine = engine_of(before)
    own = named(before)
    assert recipes.fixed == {}
    assert recipes.keys.keys() == old.state_dict().keys()
    decided = {n for n in recipes.weights if recipes.needs(n)}
    assert any(not np.array_equal(own[n], wanted[n]) for n in decided)
    refitting = Refitting(recipes, {})
    refitting.apply(engine, new.state_dict())
    for weights in wanted:
        np.testing.assert_array_equal(engine.state["weights"][weights], wanted[weights], weights)
    refitting.apply(engine, old.state_dict())
    for weights in own:
        np.testing.assert_array_equal(engine.state["weights"][weights], own[weights], weights)


def test_a_part_of_the_weights_and_what_is_merged_with_them(
    release: Callable[[str], Any],
) -> None:
    (old, inputs), (new, _) = made("convolutional", 0), made("convolutional", 1)
    network = trtdsl.trace(old, inputs)
    mixed = copy.deepcopy(old)
    part = {key: value for key, value in new.state_dict().items() if key.startswith("0.")}
    mixed.load_state_dict(part, strict=False)
    wanted_network = trtdsl.trace(mixed, inputs)
    release("8.6.1")
    before, recipes = lowered(network, "8.6.1")
    wanted = named(lowered(wanted_network, "8.6.1")[0])
    engine = engine_of(before, set(recipes.weights))  # TensorRT wants all of them together
    with pytest.raises(RunError, match=r"merged with 2 others, .*: 1\.running_var, 1\.weight"):
        Refitting(recipes, {}).apply(engine, part)
    assert all(np.array_equal(v, named(before)[k]) for k, v in engine.state["weights"].items())
    Refitting(recipes, base_state(network)).apply(engine, part)
    for weights in wanted:
        np.testing.assert_array_equal(engine.state["weights"][weights], wanted[weights], weights)


def test_after_a_whole_state_dict_parts_are_enough(release: Callable[[str], Any]) -> None:
    (old, inputs), (new, _) = made("convolutional", 0), made("convolutional", 1)
    network, other = trtdsl.trace(old, inputs), trtdsl.trace(new, inputs)
    release("8.6.1")
    before, recipes = lowered(network, "8.6.1")
    engine = engine_of(before)
    refitting = Refitting(recipes, {})
    refitting.apply(engine, old.state_dict())
    for key, value in new.state_dict().items():
        refitting.apply(engine, {key: value})
    for name, value in named(lowered(other, "8.6.1")[0]).items():
        np.testing.assert_array_equal(engine.state["weights"][name], value, name)


def test_what_does_not_fit_is_listed_at_once(release: Callable[[str], Any]) -> None:
    model, inputs = made("convolutional", 0)
    network = trtdsl.trace(model, inputs)
    release("8.6.1")
    before, recipes = lowered(network, "8.6.1")
    engine, state = engine_of(before), model.state_dict()
    wrong = {
        **state,
        "0.weight": torch.zeros(8, 3, 3, 2),
        "7.weight": state["7.weight"].double(),
        "model.7.bias": state["7.bias"],
        "7.bias": 3,
    }
    with pytest.raises(RunError) as caught:
        Refitting(recipes, {}).apply(engine, wrong)
    for line in (
        f"4 of {len(wrong)} weights do not fit",
        "0.weight: it is float32[8, 3, 3, 2], and the model has float32[8, 3, 3, 3]",
        "7.weight: it is float64[5, 196], and the model has float32[5, 196]",
        "model.7.bias: the model has no such key",
        "7.bias: it is a int, not a tensor",
    ):
        assert line in str(caught.value)
    with pytest.raises(RunError, match=r"the weights are \[\]"):
        Refitting(recipes, {}).apply(engine, [])  # type: ignore[arg-type]
    assert all(np.array_equal(v, named(before)[k]) for k, v in engine.state["weights"].items())


def test_tied_weights_may_be_given_by_either_name(release: Callable[[str], Any]) -> None:
    (old, inputs), (new, _) = made("tied", 0), made("tied", 1)
    network, other = trtdsl.trace(old, inputs), trtdsl.trace(new, inputs)
    release("10.0.1")
    before, recipes = lowered(network, "10.0.1")
    wanted = named(lowered(other, "10.0.1")[0])
    for key in ("embed.weight", "head.weight"):
        engine = engine_of(before)
        Refitting(recipes, base_state(network)).apply(
            engine, {key: new.state_dict()["embed.weight"]}
        )
        changed = {n for n in wanted if not np.array_equal(named(before)[n], wanted[n])}
        assert changed & {n for n in recipes.weights if "embed.weight" in recipes.needs(n)}
        for name in recipes.weights:
            if recipes.needs(name) == {"embed.weight"}:
                np.testing.assert_array_equal(engine.state["weights"][name], wanted[name])
    differing = {"embed.weight": torch.zeros(11, 6), "head.weight": torch.ones(11, 6)}
    with pytest.raises(RunError, match=r"head\.weight and embed\.weight are one tensor"):
        Refitting(recipes, {}).apply(engine, differing)


def test_float16_holds_no_large_weights(release: Callable[[str], Any]) -> None:
    model, inputs = made("attention", 0)
    network = trtdsl.trace(model, inputs, precision="fp16")
    release("8.6.1")
    before, recipes = lowered(network, "8.6.1")
    large = {**model.state_dict(), "qkv": torch.full((24, 8), 1e5)}
    with pytest.raises(RunError, match=r"made of qkv, would hold inf to inf in float16"):
        Refitting(recipes, {}).apply(engine_of(before), large)


def test_weights_that_tensorrt_does_not_offer(release: Callable[[str], Any]) -> None:
    model, inputs = made("attention", 0)
    network = trtdsl.trace(model, inputs)
    release("8.6.1")
    before, recipes = lowered(network, "8.6.1")
    engine = engine_of(before)
    lost = next(n for n in recipes.weights if "out.bias" in recipes.needs(n))
    del engine.state["weights"][lost]
    with pytest.raises(RunError, match=r"no refittable weights .*, which are made of out\.bias"):
        Refitting(recipes, {}).apply(engine, model.state_dict())
    unknown = engine_of(before, {"x", *recipes.weights})
    unknown.state["weights"]["x"] = np.zeros(1, np.float32)
    with pytest.raises(RunError, match="asks for 1 weights that no recipe makes: x"):
        Refitting(recipes, {}).apply(unknown, model.state_dict())


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda obj: obj.pop("nodes"), "'nodes'"),
        (lambda obj: obj["nodes"].insert(0, {"layer": "os:system"}), "'inputs'"),
        (
            lambda obj: obj["nodes"].insert(
                0, {"layer": "subprocess:Popen", "attributes": {"args": "true"}, "inputs": []}
            ),
            "none of trtdsl's layers",
        ),
        (
            lambda obj: obj["nodes"].insert(
                0, {"layer": "trtdsl.types:DType", "attributes": {}, "inputs": []}
            ),
            "is no layer",
        ),
        (
            lambda obj: obj["nodes"].insert(
                0, {"layer": "trtdsl.ir.cast:Nothing", "attributes": {}, "inputs": []}
            ),
            "none of this trtdsl's layers",
        ),
        (
            lambda obj: obj["nodes"].insert(
                0, {"layer": "trtdsl.ir.cast:Identity", "attributes": {}, "inputs": [[0, 0]]}
            ),
            "do not come before it",
        ),
    ],
)
def test_damaged_recipes_are_refused(
    damage: Callable[[Any], Any], words: str, release: Callable[[str], Any]
) -> None:
    model, inputs = made("attention", 0)
    network = trtdsl.trace(model, inputs)
    release("8.6.1")
    obj = json.loads(json.dumps(lowered(network, "8.6.1")[1].to_json()))
    assert Recipes.from_json(obj).to_json() == obj
    damage(obj)
    with pytest.raises(LoadError, match=words):
        Recipes.from_json(obj)


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_the_flags_of_each_release(version: str, release: Callable[[str], Any]) -> None:
    trt = release(version)
    net = Network()
    w = net.constant(torch.eye(2), name="w")
    net.output(net.input("x", (1, 2)) @ w, "y")
    engine = build(net, BuildOptions(refit=True))
    flags = trt.configs[0].state["flag_names"]
    individual = hasattr(trt.BuilderFlag, "REFIT_INDIVIDUAL")
    assert ("REFIT_INDIVIDUAL" if individual else "REFIT") in flags
    assert {"REFIT", "REFIT_INDIVIDUAL"} - flags
    assert list(engine.manifest.refit["keys"]) == ["w"]
    assert torch.equal(engine.remembered["w"], torch.eye(2))
    if version.startswith("8."):
        with pytest.raises(BuildError, match=r"TensorRT 8\.6\.1 makes no plans without weights"):
            build(net, BuildOptions(strip_weights=True))
    else:
        assert build(net, BuildOptions(strip_weights=True)).manifest.stripped
        assert "STRIP_PLAN" in trt.configs[1].state["flag_names"]


def test_a_cached_engine_keeps_its_recipes(release: Callable[[str], Any], tmp_path: Any) -> None:
    release("8.6.1")
    net = Network()
    net.output(net.input("x", (1, 2)) @ net.constant(torch.eye(2), name="w"), "y")
    options = BuildOptions(refit=True, cache=tmp_path)
    first, again = build(net, options), build(net, options)
    assert again.manifest == first.manifest
    assert again.manifest.refit["weights"]
    assert build(net, BuildOptions(cache=tmp_path)).manifest.refit is None


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"refit": 1}, "refit is 1; it is True or False"),
        ({"refit": True, "profiles": [{"b": 1}, {"b": 2}]}, "2 profiles, and TensorRT refits"),
        ({"strip_weights": True, "profiles": [{"b": 1}, {"b": 2}]}, "2 profiles"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        BuildOptions(**options)


def test_what_is_known_of_the_weights_is_not_the_callers(building: Callable[[str], Any]) -> None:
    building("8.6.1")
    (old, inputs), (new, _) = made("convolutional", 0), made("convolutional", 1)
    network = trtdsl.trace(old, inputs)
    before, recipes = lowered(network, "8.6.1")
    engine, refitting = engine_of(before), Refitting(recipes, {})
    refitting.apply(engine, new.state_dict())
    first = {name: values.copy() for name, values in engine.state["weights"].items()}
    bias = new.state_dict()["1.bias"].clone()
    with torch.no_grad():
        new[1].running_mean.add_(100)  # training goes on
    refitting.apply(engine, {"1.bias": bias})
    for name, values in engine.state["weights"].items():
        np.testing.assert_array_equal(values, first[name])


class Turned(nn.Module):
    """Rotary positions, kept as complex numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("turns", torch.polar(torch.ones(4), torch.arange(4.0)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.view_as_real(torch.view_as_complex(x) * self.turns)


def test_complex_keys_are_refused(building: Callable[[str], Any]) -> None:
    building("10.3.0")
    model = Turned().eval()
    before, recipes = lowered(trtdsl.trace(model, (torch.randn(4, 2),)), "10.3.0")
    refitting = Refitting(recipes, {})
    refitting.apply(engine_of(before), model.state_dict())  # as they are
    with pytest.raises(RunError, match="turns in the parts that a complex number is held as"):
        refitting.apply(engine_of(before), {"turns": 2 * model.turns})


def test_weights_that_were_quantized_are_refused(building: Callable[[str], Any]) -> None:
    building("10.3.0")
    model, x = nn.Linear(4, 3).eval(), torch.randn(5, 4)
    network = trtdsl.quantize(trtdsl.trace(model, (x,)), [x])
    before, recipes = lowered(network, "10.3.0")
    refitting = Refitting(recipes, base_state(network))
    with pytest.raises(RunError, match=r"weight in fake_quantize.*, which has their scales"):
        refitting.apply(engine_of(before), {"weight": model.weight.detach() * 10})
    refitting.apply(engine_of(before), {**model.state_dict(), "bias": torch.zeros(3)})


class Flipped(nn.Module):
    """Weights rounded by scales that are buffers, and turned round."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scales", torch.tensor([0.1, 0.2, 0.3]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(3, dtype=torch.int32)
        weights = torch.arange(12.0).reshape(3, 4) / 7
        rounded = torch.fake_quantize_per_channel_affine(weights, self.scales, zeros, 0, -128, 127)
        return x @ rounded.flip(0).t()


def test_scales_that_were_chosen_from_are_refused_too(building: Callable[[str], Any]) -> None:
    building("10.3.0")
    network = channel_scales(trtdsl.trace(Flipped().eval(), (torch.ones(2, 4),)))
    before, recipes = lowered(network, "10.3.0")
    with pytest.raises(RunError, match="scales in"):
        Refitting(recipes, {}).apply(engine_of(before), {"scales": torch.ones(3)})


class Asymmetric(nn.Module):
    """Steps that do not begin at zero, which is what int8 layers have."""

    def __init__(self, zero: int) -> None:
        super().__init__()
        self.register_buffer("scale", torch.tensor([0.1]))
        self.register_buffer("zero", torch.tensor([zero], dtype=torch.int32))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero, -128, 127)


class Bags(nn.Module):
    """Sums of two rows of a table each, as its offsets say."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offsets", torch.arange(0, 6, 2))
        self.bag = nn.EmbeddingBag(5, 4, mode="sum")

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.bag(ids, self.offsets)


@pytest.mark.parametrize(
    ("model", "x", "name", "other"),
    [
        (Asymmetric(3), torch.ones(2, 4), "zero", torch.tensor([4], dtype=torch.int32)),
        (Asymmetric(0), torch.ones(2, 4), "zero", torch.tensor([4], dtype=torch.int32)),
        (Bags(), torch.tensor([0, 1, 2, 3, 4, 0]), "offsets", torch.tensor([0, 1, 4])),
    ],
)
def test_what_decided_the_layers_stays(
    model: nn.Module, x: torch.Tensor, name: str, other: torch.Tensor, building: Callable[..., Any]
) -> None:
    building("10.3.0")
    before, recipes = lowered(trtdsl.trace(model.eval(), (x,)), "10.3.0")
    loaded = Refitting(Recipes.from_json(json.loads(json.dumps(recipes.to_json()))), {})
    loaded.apply(engine_of(before), model.state_dict())
    with pytest.raises(RunError, match=f"{name} in what the layers are, which its value decided"):
        loaded.apply(engine_of(before), {name: other})
