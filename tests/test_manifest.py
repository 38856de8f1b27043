"""``trtdsl.manifest``: there and back through JSON; other formats and damage are told apart."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from trtdsl.errors import LoadError
from trtdsl.manifest import FORMAT, Manifest, TensorSpec
from trtdsl.tree import flatten
from trtdsl.types import DimRange, DType

X = np.zeros(1, np.float32)
MANIFEST = Manifest(
    inputs=(
        TensorSpec(
            name="x", dtype=DType.FLOAT32, engine_dtype=DType.FLOAT32, shape=("batch", 3, "2*batch")
        ),
        TensorSpec(name="ids", dtype=DType.INT64, engine_dtype=DType.INT32, shape=(4,)),
    ),
    outputs=(
        TensorSpec(
            name="logits", dtype=DType.FLOAT16, engine_dtype=DType.FLOAT16, shape=("batch", 10)
        ),
    ),
    input_tree=flatten(((X,), {"ids": X, "scale": float("inf")}))[1],
    output_tree=flatten({"logits": X})[1],
    parameters=("x", "ids", "scale"),
    symbols={"batch": DimRange(min=1, opt=4, max=32)},
    profiles=(
        {"batch": DimRange(min=1, opt=1, max=1)},
        {"batch": DimRange(min=8, opt=16, max=32)},
    ),
    precision="fp16",
    tensorrt="10.13.3.9",
    compute_capability="9.0",
    device="NVIDIA H200",
    sha256="0" * 64,
    trtdsl="0.1.0",
    size=17,
)


def test_json_round_trip() -> None:
    text = json.dumps(MANIFEST.to_json(), allow_nan=False)
    assert Manifest.from_json(json.loads(text)) == MANIFEST


def test_every_field_is_written() -> None:
    written = MANIFEST.to_json()
    assert written.keys() == {f.name for f in dataclasses.fields(Manifest)} | {"format"}
    assert written["inputs"][0].keys() == {f.name for f in dataclasses.fields(TensorSpec)}


def test_spec_prints_and_knows_whether_it_is_static() -> None:
    assert str(MANIFEST.inputs[0]) == "x: f32[batch, 3, 2*batch]"
    assert [spec.is_static for spec in MANIFEST.inputs] == [False, True]


@pytest.mark.parametrize("found", ["trtdsl-engine/1", None, 1])
def test_another_format_is_refused_with_both(found: Any) -> None:
    with pytest.raises(LoadError) as error:
        Manifest.from_json({**MANIFEST.to_json(), "format": found})
    assert repr(found) in str(error.value)
    assert repr(FORMAT) in str(error.value)
    assert "fix:" in str(error.value)


@pytest.mark.parametrize("obj", [[], "text", 3, {}])
def test_what_is_no_manifest_is_refused(obj: Any) -> None:
    with pytest.raises(LoadError, match="format is None"):
        Manifest.from_json(obj)


@pytest.mark.parametrize("name", sorted(MANIFEST.to_json().keys() - {"format"}))
def test_a_missing_field_is_named(name: str) -> None:
    obj = MANIFEST.to_json()
    del obj[name]
    with pytest.raises(LoadError, match=f"lacks the field '{name}'"):
        Manifest.from_json(obj)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"inputs": [{"name": "x"}]}, "lacks the field"),
        ({"inputs": 3}, "damaged"),
        ({"size": "many"}, "damaged"),
        ({"symbols": {"batch": {"min": 4, "opt": 1, "max": 8}}}, r"4\.\.1\.\.8 is not min"),
        ({"symbols": {}}, r"the symbols \['batch'\], and ranges only for \[\]"),
        ({"profiles": []}, r"profiles \[\] do not give a range to each .*\['batch'\]"),
        ({"profiles": [{}]}, r"profiles \[\[\]\] do not give"),
        ({"outputs": []}, "lists 0 outputs, and its structure of them holds 1"),
        ({"output_tree": {"oops": 1}}, "not a structure"),
    ],
)
def test_damage_is_described(change: dict[str, Any], words: str) -> None:
    with pytest.raises(LoadError, match=words):
        Manifest.from_json({**MANIFEST.to_json(), **change})


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [("dtype", "float8", "float8"), ("shape", [1.5], "1.5"), ("shape", [True], "True")],
)
def test_a_damaged_spec_is_described(field: str, value: Any, words: str) -> None:
    obj = MANIFEST.to_json()
    obj["inputs"][1][field] = value
    with pytest.raises(LoadError, match=f"damaged.*{words}"):
        Manifest.from_json(obj)
