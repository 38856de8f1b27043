"""What `FlashAttention` refuses, leaves to layers, and computes in bfloat16."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from tests.cases.base import f32
from tests.plugins.emulation import COMPILER, emulate
from tests.plugins.shipped import CASES, HALF, PluginCase
from tests.test_ir import assert_close
from trtdsl.errors import BuildError, ShapeError, UnavailableError
from trtdsl.extension.nvrtc import compile_cuda
from trtdsl.network import Network
from trtdsl.plugins.flash_attention import FlashAttention
from trtdsl.types import DType, TensorType

BF16 = 1.6e-2
"""Two roundings to bfloat16, of the weights and of the answer."""

LAYER = FlashAttention(heads=4, groups=2, size=16, stride=(16,) * 3, scale=0.25)
OURS = [c for c in CASES if isinstance(c.plugin, FlashAttention)]


def rows(*shape: Any, dtype: DType = DType.FLOAT16) -> TensorType:
    return TensorType(dtype, shape)


QUERY, KEY = rows(2, 9, 64), rows(2, 5, 32)

REFUSED = {
    "no heads": (LAYER, (rows(2, 4, 9, 8), KEY, KEY), "no 4 heads of 16"),
    "too few columns": (LAYER, (rows(2, 9, 48), KEY, KEY), "heads end at column 64"),
    "another batch": (LAYER, (QUERY, rows(3, 5, 32), rows(3, 5, 32)), "sizes 2 and 3 differ"),
    "another length": (LAYER, (QUERY, KEY, rows(2, 6, 32)), "sizes 5 and 6 differ"),
    "a mask of more": (LAYER, (QUERY, KEY, KEY, rows(2, 1, 1, 6)), "is not of the sizes"),
    "who attends": (LAYER, (QUERY, KEY, KEY, rows(2, 1, 1, 5), rows(1, 1, 8, 1)), "not of the"),
    "rows of no length": (LAYER, (rows(18, 64), KEY, KEY), "no rows of sequences of 0"),
    "a broken sequence": (
        replace(LAYER, lengths=(9, 0, 0)), (rows(19, 64), KEY, KEY), "no rows of sequences of 9"
    ),
    "no bias": (replace(LAYER, biased=True), (QUERY, KEY, KEY), "takes 4 to 6 inputs"),
    "a short bias": (replace(LAYER, biased=True), (QUERY, KEY, KEY, rows(64)), "a bias of 96"),
    "too much": (LAYER, (QUERY, KEY, KEY, *[rows(1, 1, 1, 5)] * 3), "takes 3 to 5 inputs"),
    "groups": (replace(LAYER, groups=3), (QUERY, KEY, KEY), "4 heads do not share 3"),
    "two dtypes": (LAYER, (QUERY, KEY, rows(2, 5, 32, dtype=DType.FLOAT32)), "floats of one dtype"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str) -> None:
    layer, inputs, message = REFUSED[name]
    with pytest.raises(ShapeError, match=message):
        layer.infer(*inputs)


LEFT = {
    "float32": (LAYER, (rows(2, 9, 64, dtype=DType.FLOAT32),)),
    "a wide head": (replace(LAYER, size=136, stride=(136,) * 3), (rows(2, 9, 544),)),
    "an odd head": (replace(LAYER, size=12, stride=(12,) * 3), (rows(2, 9, 64),)),
    "an odd column": (replace(LAYER, first=(4, 0, 0)), (rows(2, 9, 80),)),
    "odd rows": (LAYER, (rows(2, 9, 68),)),
    "a scale below 0": (replace(LAYER, scale=-1.0), (QUERY,)),
}


@pytest.mark.parametrize("name", LEFT)
def test_what_the_kernel_does_not_take_is_left_to_layers(name: str) -> None:
    layer, inputs = LEFT[name]
    assert LAYER.takes(QUERY, KEY, KEY)
    assert not layer.takes(*inputs)


def single(case: PluginCase) -> PluginCase:
    return replace(case, inputs=tuple(x.float() for x in case.inputs), tolerance=2e-6)


@pytest.mark.parametrize("case", OURS, ids=str)
def test_the_layers_that_it_stands_for_compute_the_same(case: PluginCase) -> None:
    case = single(case)
    net = Network()
    inputs = [net.input(f"x{i}", x.shape) for i, x in enumerate(case.inputs)]
    net.output(case.plugin.expand(*inputs), "y")
    assert_close(net.evaluate(*case.inputs), case.plugin.evaluate(*case.inputs), case.tolerance)


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
@pytest.mark.parametrize("causal", [False, True])
def test_bfloat16(causal: bool) -> None:
    layer = replace(LAYER, causal=causal)
    inputs = tuple(f32(*x.shape, seed=i).bfloat16() for i, x in enumerate((QUERY, KEY, KEY)))
    (y,) = emulate(layer, inputs)
    expected = layer.evaluate(*(x.float() for x in inputs))
    assert_close(y.float(), expected, BF16)


def test_bfloat16_wants_a_gpu_that_has_it() -> None:
    dtypes = [DType.BFLOAT16] * 4
    try:
        assert compile_cuda(LAYER.kernel, "80", LAYER.defines(*dtypes))[:4] == b"\x7fELF"
    except UnavailableError as error:
        pytest.skip(str(error).splitlines()[0])
    with pytest.raises(BuildError, match="bfloat16 needs compute capability 8"):
        compile_cuda(LAYER.kernel, "75", LAYER.defines(*dtypes))


@pytest.mark.skipif(COMPILER is None, reason="needs g++ to run kernels on the CPU")
def test_a_mask_that_16_bits_made_infinite_hides_alike() -> None:
    query, key, value = (f32(*x.shape, seed=i).half() for i, x in enumerate((QUERY, KEY, KEY)))
    mask = torch.zeros(1, 1, 9, 5).half()
    mask[..., 2, :], mask[..., 3, :4] = -torch.inf, -torch.inf
    (y,) = emulate(LAYER, (query, key, value, mask))
    assert y.isfinite().all()
    assert_close(y, LAYER.evaluate(query, key, value, mask), HALF)
    (unseen,) = emulate(LAYER, (query, key, value, torch.zeros_like(mask)))
    assert_close(y[:, [0, 1, 4, 5, 6, 7, 8]], unseen[:, [0, 1, 4, 5, 6, 7, 8]], HALF)
    # The last key is all that query 3 sees: its value, of the group that heads 0 and 1 share.
    assert_close(y[:, 3, :16], value[:, 4, :16], HALF)


def test_a_nan_stays_with_its_query() -> None:
    if COMPILER is None:
        pytest.skip("needs g++ to run kernels on the CPU")
    query, key = f32(1, 20, 64).half(), f32(1, 5, 32, seed=1).half()
    query[0, 3, 17] = float("nan")
    (y,) = emulate(LAYER, (query, key, key))
    lost = y.isnan().any(-1)[0]
    assert lost.tolist() == [i == 3 for i in range(20)]
    assert torch.equal(y[0, 3].isnan(), torch.arange(64) // 16 == 1)
