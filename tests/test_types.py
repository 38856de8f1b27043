"""``trtdsl.types`` and ``trtdsl.source``: dtypes, symbolic sizes, tensor types and places."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import sympy
import torch

import trtdsl.capture
import trtdsl.layers.linear
from trtdsl.source import Source
from trtdsl.types import DType, TensorType, as_dim, bind, broadcast, is_static, symbols

B = sympy.Symbol("b", integer=True, positive=True)
H = sympy.Symbol("h", integer=True, positive=True)


@pytest.mark.parametrize("dtype", DType)
def test_a_dtype_is_pytorchs(dtype: DType) -> None:
    assert DType.of(dtype.torch) is dtype
    assert DType.of(dtype.value) is dtype
    assert dtype.itemsize == dtype.torch.itemsize
    assert dtype.is_float == dtype.torch.is_floating_point
    assert dtype.is_integer == (not dtype.is_float and dtype is not DType.BOOL)


def test_dtypes_are_abbreviated_apart() -> None:
    shorts = [dtype.short for dtype in DType]
    assert len(set(shorts)) == len(shorts)
    assert (DType.FLOAT16.short, DType.BFLOAT16.short, DType.INT64.short) == ("f16", "bf16", "i64")


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex64, torch.int16])
def test_a_dtype_that_tensorrt_lacks_is_refused(dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match=str(dtype).removeprefix("torch.")):
        DType.of(dtype)


def test_sizes_have_one_form() -> None:
    assert type(as_dim(sympy.Integer(3))) is int
    assert as_dim(B) is B
    kind = TensorType(DType.FLOAT32, (sympy.Integer(2), 2 * B // 2, B - B + 5))
    assert kind == TensorType(DType.FLOAT32, (2, B, 5))
    assert [type(d) is int for d in kind.shape] == [True, False, True]


def test_bind_and_symbols() -> None:
    assert bind(7, {}) == 7
    assert bind(2 * B + H // 2, {"b": 3, "h": 9}) == 10
    assert bind(sympy.ceiling(H / 2) % 3, {"h": 9}) == 2
    assert symbols((1, 2 * B, B + H)) == {"b", "h"}
    assert is_static((1, 2))
    assert not is_static((1, B))


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ([(2, 3)], (2, 3)),
        ([(2, 1), (1, 3)], (2, 3)),
        ([(1, 1), (1, 1)], (1, 1)),
        ([(B, 1), (1, H)], (B, H)),
        ([(B, 3), (1, 3), (B, 1)], (B, 3)),
        ([(B,), (4,)], (4,)),
        ([(0,), (1,)], (0,)),
        ([(), ()], ()),
    ],
)
def test_broadcast(shapes: list[tuple[object, ...]], expected: tuple[object, ...]) -> None:
    assert broadcast(*shapes) == expected


@pytest.mark.parametrize(
    "shapes", [[(2,), (3,)], [(2, 3), (2, 4)], [(2,), (B,), (3,)], [(0,), (2,)]]
)
def test_sizes_that_differ_do_not_broadcast(shapes: list[tuple[object, ...]]) -> None:
    with pytest.raises(ValueError, match="do not broadcast"):
        broadcast(*shapes)


def test_a_tensor_type_is_data() -> None:
    kind = TensorType(DType.FLOAT16, (B, 3, 8))
    assert str(kind) == "f16[b, 3, 8]"
    assert kind.rank == 3
    assert kind.volume == 24 * B
    assert TensorType(DType.BOOL, ()).volume == 1
    assert kind.with_shape([4]) == TensorType(DType.FLOAT16, (4,))
    assert kind.with_dtype(DType.INT32) == TensorType(DType.INT32, (B, 3, 8))
    assert (kind.is_static, kind.with_shape([4]).is_static) == (False, True)
    with pytest.raises(FrozenInstanceError):
        kind.dtype = DType.BOOL  # type: ignore[misc]


TORCH = Path(torch.__file__).parent
STACK = f"""  File "/home/me/net.py", line 12, in forward
    y = self.block(x)
  File "{TORCH}/nn/modules/module.py", line 99, in _call_impl
    return forward_call(*args)
  File "/home/me/block.py", line 88, in forward
    return F.relu(self.conv(x))
  File "{TORCH}/nn/functional.py", line 1500, in relu
    return torch.relu(input)
"""


def test_a_source_names_the_users_own_line() -> None:
    source = Source(module="block.conv", operator="aten.relu.default", stack=STACK)
    assert source.line == "/home/me/block.py:88, forward: return F.relu(self.conv(x))"
    assert str(source) == f"aten.relu.default, module block.conv, {source.line}"


def test_a_source_skips_trtdsls_own_frames() -> None:
    within_torch = "".join(STACK.splitlines(keepends=True)[-2:])
    for module in (trtdsl.capture, trtdsl.export.flat, trtdsl.layers.linear):
        own = f'  File "{module.__file__}", line 3, in forward\n    self.model(x)\n'
        assert Source(stack=own + STACK).line == Source(stack=STACK).line
        assert Source(stack=STACK + own).line == Source(stack=STACK).line
        assert Source(stack=own + within_torch).line.startswith(f"{TORCH}/nn/functional.py:1500")
        assert Source(stack=own).line == ""


def test_a_source_without_a_users_frame_takes_the_innermost() -> None:
    stack = f'  File "{TORCH}/nn/functional.py", line 1500, in relu\n'
    assert Source(stack=stack).line == f"{TORCH}/nn/functional.py:1500, relu: "
    assert str(Source()) == ""


@pytest.mark.parametrize("folder", ["/home/me/torch-models", "/home/me/torch"])
def test_a_project_named_after_torch_is_the_users(folder: str) -> None:
    stack = f'  File "{folder}/net.py", line 3, in forward\n    x + 1\n'
    assert Source(stack=stack).line == f"{folder}/net.py:3, forward: x + 1"
