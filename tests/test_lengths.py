"""``len`` of tensors in exported modules, and that it is Python's own again behind."""

from __future__ import annotations

import builtins
import sys

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from trtdsl.export.lengths import symbolic_lengths


class Counted(nn.Module):
    """Reads the batch with ``len``, as Python programmers do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        names = ["a", "b"]
        return x.reshape(len(x), -1).expand(len(x), 12) * len(names)


def test_len_of_a_tensor_is_its_symbolic_size() -> None:
    batch = {0: Dim("batch", min=1, max=8)}
    model = Counted().eval()
    network = trtdsl.trace(model, (torch.ones(2, 3, 4),), dynamic_shapes=(batch,))
    for size in (1, 2, 5):
        x = torch.rand(size, 3, 4, generator=torch.Generator().manual_seed(0))
        assert torch.equal(network.evaluate(x), model(x))


def test_len_is_python_s_own_again_behind() -> None:
    file = sys.modules[__name__]
    with symbolic_lengths(Counted()):
        assert file.len is not builtins.len  # type: ignore[attr-defined]
        assert len("abc") == 3
        with pytest.raises(TypeError, match="0-d"):
            len(torch.tensor(1.0))
    assert not hasattr(file, "len")


def test_a_file_s_own_len_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    own = object()
    monkeypatch.setattr(sys.modules[__name__], "len", own, raising=False)
    with symbolic_lengths(Counted()):
        assert sys.modules[__name__].len is own  # type: ignore[attr-defined]
