"""Several optimization profiles in one engine, chosen by the shapes of a call."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

import trtdsl
from tests.gpu.mlp import TOLERANCE, Mlp, data, exact
from trtdsl.engine import Engine
from trtdsl.errors import RunError
from trtdsl.profiles import parse
from trtdsl.types import DimRange

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]
GIVEN = [{"batch": 1}, {"batch": (4, 8, 16)}, {"batch": (12, 32, 64)}]


@cache
def engine() -> Engine:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Mlp().eval()
    batch = torch.export.Dim("batch", min=1, max=128)
    made = trtdsl.convert(
        model,
        (data(0),),
        dynamic_shapes={"x": {0: batch}},
        profiles=GIVEN,
        optimization_level=0,
    )
    assert isinstance(made, Engine)
    return made


def test_the_manifest_and_the_plan_have_the_profiles() -> None:
    within = {"batch": DimRange(min=1, opt=4, max=128)}
    assert engine().manifest.profiles == parse(GIVEN, within)
    trt_engine = engine()._trt_engine
    assert trt_engine.num_optimization_profiles == 3
    for index, profile in enumerate(engine().manifest.profiles):
        ranges = [tuple(dims) for dims in trt_engine.get_tensor_profile_shape("x", index)]
        size = profile["batch"]
        assert ranges == [(size.min, 16), (size.opt, 16), (size.max, 16)]


@pytest.mark.parametrize("kind", ["torch", "numpy"])
def test_calls_of_all_profiles_in_turns(kind: str) -> None:
    for rows in (1, 16, 64, 4, 1, 12, 17, 1, 64):
        x = data(rows, rows)
        answer = engine()(x.cuda() if kind == "torch" else x.numpy())
        found = answer.cpu() if kind == "torch" else torch.from_numpy(np.asarray(answer))
        torch.testing.assert_close(found, exact(x), **TOLERANCE)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (2, r"batch=2:\n  profile 0: batch 1\.\.1\n  profile 1: batch 4\.\.16\n"),
        (65, r"1\.\.1 or 4\.\.16 or 12\.\.64"),
        (128, r"1\.\.1 or 4\.\.16 or 12\.\.64"),
    ],
)
def test_what_no_profile_has_prints_the_ranges(rows: int, words: str) -> None:
    with pytest.raises(RunError, match=words):
        engine()(data(0, rows).cuda())
    torch.testing.assert_close(engine()(data(1).cuda()).cpu(), exact(data(1)), **TOLERANCE)
