"""``len`` of tensors in exported modules, and that it is Python's own again behind."""

from __future__ import annotations

import builtins
import sys

import pytest
import torch
from torch import nn
from torch.export import Dim

import trtdsl
from tests import measuring
from tests.measuring import is_before
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


class Elsewhere(nn.Module):
    """Has another file count, by a function and as a module."""

    def forward(self, x: torch.Tensor, ends: torch.Tensor) -> torch.Tensor:
        windows = x.reshape(-1, 2, 2) * is_before(ends, 4).sum()
        return measuring.put_together(windows, 4, 4)


def test_helpers_in_other_files_count_alike() -> None:
    model, batch = Elsewhere().eval(), Dim("batch", min=1, max=8)
    example = torch.ones(2, 4, 4), torch.tensor([3, 1])
    network = trtdsl.trace(model, example, dynamic_shapes=({0: batch}, {0: batch}))
    for size in (1, 2, 5):
        generator = torch.Generator().manual_seed(0)
        given = torch.rand(size, 4, 4, generator=generator), torch.arange(size)
        assert torch.equal(network.evaluate(*given), model(*given))
    assert not hasattr(measuring, "len")
    assert not hasattr(measuring, "int")
