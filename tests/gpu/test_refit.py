"""Refitted engines against the models whose weights they were given, and against fresh builds."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests.models.randomise import randomise
from trtdsl.engine import Engine
from trtdsl.errors import RunError

pytestmark = pytest.mark.gpu

TOLERANCE: dict[str | None, float] = {None: 1e-3, "fp16": 2e-2}
"""Of the largest answer: TensorRT may multiply float32 as TF32 in places."""


def model(seed: int) -> nn.Module:
    """Convolutions with batch norms to fold, a grouped transposed one, and linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = (
            nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
            nn.ConvTranspose2d(8, 4, 2, groups=2), nn.BatchNorm2d(4), nn.ReLU(),
            nn.Flatten(), nn.Linear(196, 16), nn.GELU(), nn.Linear(16, 5), nn.LayerNorm(5),
        )  # fmt: skip
        made = nn.Sequential(*layers)
        return randomise(made, (data(),), seed=seed).eval()


def data() -> torch.Tensor:
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(5))


@cache
def refittable(precision: str | None) -> Engine:
    engine = trtdsl.convert(
        model(0), (data(),), precision=precision, refit=True, optimization_level=0
    )
    assert isinstance(engine, Engine)
    return engine


def error(engine: Any, wanted: nn.Module) -> float:
    """The largest difference from a model's answer, over the largest answer."""
    with torch.no_grad():
        expected = copy.deepcopy(wanted).double()(data().double())
    answer = engine(data().cuda()).cpu().double()
    return float((answer - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_wholly_and_back_again(precision: str | None) -> None:
    engine, limit = refittable(precision), TOLERANCE[precision]
    before = engine(data().cuda())
    assert error(engine, model(0)) <= limit
    assert error(engine, model(1)) > 10 * limit, "the two models are too alike to tell"
    engine.refit(model(1).state_dict())
    assert error(engine, model(1)) <= limit
    engine.refit(model(0).state_dict())
    assert torch.equal(engine(data().cuda()), before)


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_in_parts(precision: str | None) -> None:
    engine, limit = refittable(precision), TOLERANCE[precision]
    mixed = model(0)
    parts = model(1).state_dict()
    for prefix in ("0.", "9.", "4."):
        part = {key: value for key, value in parts.items() if key.startswith(prefix)}
        mixed.load_state_dict(part, strict=False)
        engine.refit(part)
        assert error(engine, mixed) <= limit, f"after refitting {sorted(part)}"
    engine.refit(model(0).state_dict())
    assert error(engine, model(0)) <= limit


def test_the_same_as_a_fresh_build() -> None:
    engine = refittable(None)
    fresh = trtdsl.convert(model(1), (data(),), refit=True, optimization_level=0)
    engine.refit(model(1).state_dict())
    x = data().cuda()
    scale = float(fresh(x).abs().max())
    torch.testing.assert_close(engine(x), fresh(x), rtol=0, atol=1e-4 * scale)
    engine.refit(model(0).state_dict())


def test_a_merged_low_rank_adapter() -> None:
    engine = refittable(None)
    adapted = model(0)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in (adapted[7], adapted[9]):
            assert isinstance(layer, nn.Linear)
            up = torch.randn(layer.out_features, 2, generator=generator)
            down = torch.randn(2, layer.in_features, generator=generator)
            layer.weight += 0.3 * up @ down
    assert error(engine, adapted) > 1e-2, "the adapter changes too little to tell"
    engine.refit({key: adapted.state_dict()[key] for key in ("7.weight", "9.weight")})
    assert error(engine, adapted) <= TOLERANCE[None]
    engine.refit(model(0).state_dict())


def test_saved_and_loaded(tmp_path: Path) -> None:
    engine = refittable(None)
    engine.refit(model(1).state_dict())
    engine.save(tmp_path / "m.engine")
    engine.refit(model(0).state_dict())
    loaded = trtdsl.load(tmp_path / "m.engine")
    assert error(loaded, model(1)) <= TOLERANCE[None], "what is saved has the new weights"
    part = {"9.bias": model(0).state_dict()["9.bias"] + 1}
    changed = model(1)
    changed.load_state_dict(part, strict=False)
    loaded.refit(model(1).state_dict())
    loaded.refit(part)
    assert error(loaded, changed) <= TOLERANCE[None]
    given = trtdsl.load(tmp_path / "m.engine", weights=model(0).state_dict())
    assert error(given, model(0)) <= TOLERANCE[None]


def test_what_does_not_fit_leaves_the_engine_as_it_was() -> None:
    engine = refittable(None)
    before = engine(data().cuda())
    wrong = {**model(1).state_dict(), "0.weight": torch.zeros(8, 3, 3, 2)}
    with pytest.raises(RunError, match=r"0\.weight: it is float32\[8, 3, 3, 2\]"):
        engine.refit(wrong)
    with pytest.raises(RunError, match="bias2: the model has no such key"):
        engine.refit({"9.bias2": torch.zeros(5)})
    assert torch.equal(engine(data().cuda()), before)


def test_numpy_follows_a_refit() -> None:
    engine = refittable(None)
    x = data().numpy()
    before = engine(x)
    engine.refit(model(1).state_dict())
    after = engine(x)
    engine.refit(model(0).state_dict())
    assert abs(after - before).max() > 1e-2
    assert (engine(x) == before).all()


def test_an_engine_built_without_refuses() -> None:
    engine = trtdsl.convert(nn.Linear(3, 2).eval(), (torch.ones(1, 3),), optimization_level=0)
    assert isinstance(engine, Engine)
    with pytest.raises(RunError, match="built without refit"):
        engine.refit({"weight": torch.zeros(2, 3)})


def test_a_plan_without_weights(tmp_path: Path) -> None:
    import tensorrt

    if not hasattr(tensorrt.BuilderFlag, "STRIP_PLAN"):
        pytest.skip("plans without weights came with TensorRT 10")
    whole = refittable(None)
    engine = trtdsl.convert(model(0), (data(),), strip_weights=True, optimization_level=0)
    assert isinstance(engine, Engine)
    assert error(engine, model(0)) <= TOLERANCE[None]
    assert len(engine.plan) < len(whole.plan)
    engine.save(tmp_path / "m.engine")
    with pytest.raises(RunError, match="stripped of its weights"):
        trtdsl.load(tmp_path / "m.engine")(data().cuda())
    loaded = trtdsl.load(tmp_path / "m.engine", weights=model(1).state_dict())
    assert error(loaded, model(1)) <= TOLERANCE[None]
