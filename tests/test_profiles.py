"""Optimization profiles: how they are given, built, written down and chosen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

import trtdsl
from tests import standin
from tests.engine_parts import spec
from trtdsl.build import BuildOptions, build
from trtdsl.errors import BuildError, RunError
from trtdsl.network import Network
from trtdsl.profiles import choose, hull, parse, spans
from trtdsl.signature import Signature
from trtdsl.tree import flatten
from trtdsl.types import DimRange, DType

SYMBOLS = {"b": DimRange(min=1, opt=4, max=64), "n": DimRange(min=2, opt=8, max=16)}
GIVEN = [{"b": 1}, {"b": (8, 16, 32), "n": (4, 4, 8)}]


def test_profiles_take_what_they_leave_out_from_the_network() -> None:
    first, second = parse(GIVEN, SYMBOLS)
    assert first == {"b": DimRange(min=1, opt=1, max=1), "n": SYMBOLS["n"]}
    assert second == {"b": DimRange(min=8, opt=16, max=32), "n": DimRange(min=4, opt=4, max=8)}
    assert parse(None, SYMBOLS) == (SYMBOLS,)
    assert parse([SYMBOLS], SYMBOLS) == (SYMBOLS,)
    assert parse(None, {}) == ({},)
    assert hull((first, second)) == {"b": DimRange(min=1, opt=1, max=32), "n": SYMBOLS["n"]}
    assert spans((first, second), "b") == "1..1 or 8..32"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([], r"profiles is \[\]\n  fix: profiles=\["),
        ({"b": 1}, "profiles is {'b': 1}"),
        ([{"b": (1, 2)}], r"gives b as \(1, 2\)"),
        ([{"b": (1, 2.5, 3)}], r"gives b as \(1, 2\.5, 3\)"),
        ([{"b": True}], "gives b as True"),
        ([{"b": (4, 2, 8)}], r"\(4, 2, 8\): not min <= opt <= max"),
        ([{"c": 1}], "names 'c'; the dynamic sizes are b, n"),
        ([{"b": (1, 1, 65)}], r'1\.\.65, outside .* 1\.\.64\n  fix: Dim\("b", min=1, max=65\)'),
    ],
)
def test_profiles_that_are_wrong(given: Any, reason: str) -> None:
    with pytest.raises(BuildError, match=reason):
        parse(given, SYMBOLS)


def test_static_networks_have_no_sizes_to_name() -> None:
    with pytest.raises(BuildError, match="none: every size is fixed"):
        parse([{"b": 1}], {})


def test_the_first_profile_that_fits_is_chosen() -> None:
    profiles = parse([{"b": (1, 1, 8)}, {"b": (8, 16, 32)}], SYMBOLS)
    sizes = [{"b": b, "n": 2} for b in (1, 8, 9, 32)]
    assert [choose(profiles, each) for each in sizes] == [0, 0, 1, 1]
    assert choose(({},), {}) == 0
    with pytest.raises(RunError) as caught:
        choose(profiles, {"b": 33, "n": 2})
    assert str(caught.value) == (
        "no profile of the engine has b=33, n=2:\n"
        "  profile 0: b 1..8, n 2..16\n"
        "  profile 1: b 8..32, n 2..16\n"
        "  fix: give sizes within one profile, or convert with a profile that has them"
    )


def test_the_signature_tells_the_ranges_of_all_profiles() -> None:
    signature = Signature(
        inputs=(spec("x", DType.FLOAT32, "b", 3),),
        input_tree=flatten(((torch.zeros(1),), {}))[1],
        parameters=("x",),
        symbols={"b": DimRange(min=1, opt=1, max=32)},
        profiles=parse([{"b": 1}, {"b": (8, 16, 32)}], {"b": SYMBOLS["b"]}),
    )
    with pytest.raises(RunError, match=r"takes b with b in 1\.\.1 or 8\.\.32"):
        signature.check([torch.zeros(33, 3)])
    assert signature.check([torch.zeros(4, 3)]) == {"b": 4}


@pytest.fixture(scope="module")
def network() -> Network:
    """Traced before a stand-in is installed: torch.export looks at every module that is."""
    b = torch.export.Dim("b", min=1, max=64)
    return trtdsl.trace(nn.Linear(3, 2).eval(), (torch.zeros(4, 3),), dynamic_shapes=({0: b},))


@pytest.mark.parametrize("version", standin.VERSIONS)
def test_each_profile_is_built(
    version: str, network: Network, building: Callable[[str], Any]
) -> None:
    trt = building(version)
    given = [{"b": 1}, {"b": (8, 16, 32)}]
    manifest = build(network, BuildOptions(profiles=given)).manifest
    (config,) = trt.configs
    shapes = [
        [tuple(call.args[which]) for which in ("min", "opt", "max")]
        for profile in config.state["profiles"]
        for call in profile.calls
    ]
    assert shapes == [[(1, 3)] * 3, [(8, 3), (16, 3), (32, 3)]]
    assert manifest.profiles == parse(given, {"b": SYMBOLS["b"]})
    assert manifest.symbols == {"b": DimRange(min=1, opt=1, max=32)}


def test_without_profiles_there_is_one_of_the_dims(
    network: Network, building: Callable[[str], Any]
) -> None:
    building("10.3.0")
    manifest = build(network).manifest
    assert manifest.profiles == ({"b": DimRange(min=1, opt=4, max=64)},)
    with pytest.raises(BuildError, match="the dynamic sizes are b"):
        build(network, BuildOptions(profiles=[{"batch": 1}]))
