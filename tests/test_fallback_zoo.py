"""Architectures of the zoo with operators taken away at random: the pieces answer as the model."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

import trtdsl
from tests.test_zoo import error, leaves, zoo
from trtdsl.parts import fallback
from trtdsl.parts.fallback import FallbackWarning
from trtdsl.parts.hybrid import Hybrid

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

NAMES = ("beit", "llama", "llama_step", "mixtral", "t5", "ssd")


@pytest.mark.parametrize("name", NAMES)
def test_pieces_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    row, rng = zoo.SMALL[name], random.Random(name)
    taken = {}

    def is_convertible(node: Any) -> bool:
        return not taken.setdefault(node, rng.random() < 0.06)

    monkeypatch.setattr(fallback, "is_convertible", is_convertible)
    monkeypatch.setattr(fallback, "_reason", lambda node: "taken away")
    monkeypatch.setattr(fallback, "_whole", lambda captured, name: None)
    example = row.build()
    args, kwargs = example.calls[0]
    with pytest.warns(FallbackWarning):
        hybrid = trtdsl.convert(
            example.model,
            args or None,
            kwargs or None,
            dynamic_shapes=example.dynamic_shapes,
            backend="reference",
            fallback="torch",
        )
    assert isinstance(hybrid, Hybrid)
    assert len(hybrid.engines) > 1
    assert len(hybrid.breaks) == sum(taken.values())
    for args, kwargs in example.calls:
        with torch.no_grad():
            expected = leaves(example.model(*args, **kwargs))
        answers = leaves(hybrid(*args, **kwargs))
        errors = [error(*pair) for pair in zip(answers, expected, strict=True)]
        assert max(errors) <= row.tolerance
