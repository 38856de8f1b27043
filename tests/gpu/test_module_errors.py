"""Engines held against PyTorch: by ``compare``, module by module, and by ``convert(verify=)``."""

from __future__ import annotations

import pytest

import trtdsl
from tests.gpu.zoo import MODELS

pytestmark = pytest.mark.gpu


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("name", ["vit", "distilbert", "resnet18"])
def test_errors_of_modules(name: str, precision: str) -> None:
    example = MODELS[name].build()
    args, kwargs = example.calls[0]
    found = trtdsl.compare(
        example.model,
        args,
        kwargs,
        precision=precision,
        backend="tensorrt",
        optimization_level=0,
        repeats=1,
        modules=True,
    )
    assert len(found.modules) > 10
    worst = max(found.modules, key=lambda each: each.relative_error)
    assert worst.relative_error <= (1e-4 if precision == "fp32" else 2e-2), worst


@pytest.mark.filterwarnings("ignore")
def test_verified_engines() -> None:
    example = MODELS["resnet18"].build()
    args, kwargs = example.calls[0]
    given = {"precision": "fp16", "backend": "tensorrt", "optimization_level": 0}
    assert trtdsl.convert(example.model, args, kwargs, verify=True, **given) is not None
    with pytest.raises(trtdsl.BuildError, match="and 1e-07 is allowed"):
        trtdsl.convert(example.model, args, kwargs, verify=1e-7, **given)
