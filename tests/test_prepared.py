"""What TensorRT 8.6 is given of whole models: other layers, the same answers."""

from __future__ import annotations

import pytest
import torch

import trtdsl
from tests import standin, test_zoo
from trtdsl.ir.matmul import MatrixMultiply
from trtdsl.ir.normalization import Normalization
from trtdsl.network import Network
from trtdsl.passes.prepared import prepared_for

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

# Every pass has work in some of them: parts, rows, masks, roots of squares, integers, GELUs.
NAMES = (
    "bert", "gpt2", "gpt_neox", "llama", "gemma", "mamba", "t5_encoder", "deberta_v2", "vit",
    "beit", "dinov2", "swinv2", "clip", "whisper_encoder", "wav2vec2", "detr",
)  # fmt: skip


def prepared(network: Network) -> Network:
    return prepared_for(network, standin.load(standin.VERSIONS[0]))


def traced(name: str, precision: str | None = None) -> tuple[test_zoo.Example, Network]:
    """A small model at the sizes of its first call, none of which vary."""
    example = test_zoo.zoo.SMALL[name].build()
    args, kwargs = example.calls[0]
    return example, trtdsl.trace(example.model, args, kwargs, precision=precision)


@pytest.mark.parametrize("name", NAMES)
def test_the_answers_stay(name: str) -> None:
    example, network = traced(name)
    args, kwargs = example.calls[0]
    with torch.no_grad():
        expected = test_zoo.leaves(example.model(*args, **kwargs))
    answers = test_zoo.leaves(prepared(network).evaluate(*args, **kwargs))
    errors = [test_zoo.error(*pair) for pair in zip(answers, expected, strict=True)]
    assert max(errors) <= 1e-4


def test_gpt2_becomes_products_of_matrices() -> None:
    """TensorRT 8.6 was seen to make the fewest kernels of six products and two norms a block."""
    _, network = traced("gpt2", "fp16")
    ready = prepared(network)
    moving = [op for op in ready.operations if not op.outputs[0].is_constant]
    products = [op for op in moving if isinstance(op.layer, MatrixMultiply)]
    linear = [op for op in products if op.inputs[1].is_constant]
    norms = [op for op in moving if isinstance(op.layer, Normalization)]
    assert (len(linear), len(products)) == (2 * 6 + 1, 2 * 8 + 1)
    assert len(norms) == 2 * 2 + 1
    assert {op.outputs[0].rank for op in (*linear[:-1], *norms[:-1])} == {2}
