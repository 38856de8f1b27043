"""Kernels that an engine of TensorRT 10.9 and later would hold, started on a GPU as it starts them.

By the driver and without TensorRT: PTX, pointers of inputs, whole numbers, pointers of outputs.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch

from tests.plugins.samples import Swish
from tests.plugins.shipped import CASES, PluginCase
from tests.plugins.test_ahead_of_time import GOING, of, plan_of
from tests.plugins.test_shipped import expected_of
from tests.test_ir import assert_close
from tests.test_plugin_aliases import AddToRows, network
from trtdsl.extension.ahead_of_time import Embedded
from trtdsl.extension.buffer import Buffer
from trtdsl.extension.launch import Launch, Planned, architecture
from trtdsl.extension.nvrtc import compile_ptx
from trtdsl.types import DType, bind

pytestmark = pytest.mark.gpu


def started(
    plan: Embedded, values: tuple[torch.Tensor, ...], sizes: Mapping[str, int]
) -> list[torch.Tensor]:
    """The outputs of a kernel, whose memory began as garbage or, in place, as an input."""
    launch, kind = plan.launch, plan.instance
    inputs = [x.contiguous().cuda() for x in values]
    shapes = [tuple(bind(d, sizes) for d in t.shape) for t in plan.outputs]
    outputs = [
        torch.full(shape, 77, dtype=t.dtype.torch, device="cuda")
        for shape, t in zip(shapes, plan.outputs, strict=True)
    ]
    for output, source in kind.plugin.aliases.items():
        outputs[output].copy_(inputs[source])
    ptx = compile_ptx(
        launch.source, architecture(), kind.plugin.defines(*kind.inputs, *kind.outputs)
    )
    tensors = [*inputs, *outputs]
    buffers = [Buffer(0, tuple(x.shape), DType.of(x.dtype)) for x in tensors]
    numbers = [bind(size, sizes) for size in launch.sizes]
    grid, block = (tuple(bind(d, sizes) for d in three) for three in (launch.grid, launch.block))
    start = Launch(
        kernel=launch.kernel,
        grid=grid,
        block=block,
        args=(*buffers[: len(inputs)], *numbers, *buffers[len(inputs) :]),
        shared=bind(launch.shared, sizes),
    )
    planned = Planned(start, ptx.encode() + b"\0", buffers)
    planned.run([x.data_ptr() for x in tensors], torch.cuda.current_stream().cuda_stream)
    torch.cuda.synchronize()
    return [y.cpu() for y in outputs]


def test_a_kernel_at_several_sizes() -> None:
    plan = plan_of(of(Swish(beta=1.5), "n", 300))
    torch.manual_seed(0)
    for n in (1, 4, 9):
        x = torch.randn(n, 300)
        (y,) = started(plan, (x,), {"n": n})
        torch.testing.assert_close(y, Swish(beta=1.5).evaluate(x), rtol=1e-5, atol=1e-6)


def test_a_kernel_that_updates_an_input() -> None:
    given = (torch.randn(6, 4), torch.tensor([4, 1], dtype=torch.int32), torch.randn(2, 4))
    (y,) = started(plan_of(network()), given, {})
    torch.testing.assert_close(y, AddToRows().evaluate(*given), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(n for n in GOING if not n.endswith("FFT")))
def test_the_shipped_kernels(name: str) -> None:
    torch.cuda.init()
    for case in (c for c in CASES if type(c.plugin).__name__ == name):
        plan = plan_of(case.network(dynamic=True))
        for by in (0, 5):
            inputs = case.grown(by)
            sizes = {f"{s}_0": inputs[i].shape[axis] for (i, axis), s in case.dynamic.items()}
            grown = PluginCase(case.plugin, inputs)
            for actual, wanted in zip(
                started(plan, inputs, sizes), expected_of(grown), strict=True
            ):
                assert_close(actual, wanted, max(case.tolerance, 1e-5))
