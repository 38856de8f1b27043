"""The architectures people run, with random weights: evaluated as PyTorch does, in float32.

One trace answers at three sizes of batch, sequence or image where the model allows it. Small
configurations are the default; ``make models`` runs those of ``LONG``, and the published sizes.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import trtdsl
from tests import standin
from tests.models.row import Example, Row
from tests.test_lowering import lowered
from tests.typed import violations
from trtdsl.network import Network

LIBRARIES = ("torchvision", "timm", "transformers", "diffusers")
RELEASES = (standin.VERSIONS[0], standin.VERSIONS[-1])
missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
if missing:
    pytest.skip(f"make test installs {', '.join(missing)}", allow_module_level=True)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    zoo = importlib.import_module("tests.models.zoo")

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own

LONG = frozenset((
    "beit_hf", "beit_segmentation", "blip", "caformer", "clap_audio", "coat",
    "conditional_detr", "conformer", "controlnet", "convbert", "convit", "cspdarknet", "cvt",
    "d_fine", "dab_detr", "dac", "data2vec_audio", "davit", "deberta", "deepseek_v3",
    "deformable_detr", "depth_anything", "dla", "dpn", "dpt", "edgenext", "efficientformerv2",
    "efficientnetv2", "efficientvit", "efficientvit_msra", "electra", "encodec", "fastvit",
    "fcos", "flownet", "flux", "focalnet", "gcvit", "gemma2", "gemma3", "ghostnet", "glpn",
    "gpt_oss", "gptj", "groupvit", "hgnet", "hiera", "hrnet", "keypoint_rcnn", "layoutlmv3",
    "levit", "llama_step", "lraspp", "m2m_100", "mamba2", "marian", "mask2former", "mask_rcnn",
    "maskformer", "maxvit_tf", "mbart", "mc3", "mixtral", "mobilebert", "mobilevit",
    "mobilevit_hf", "mobilevit_segmentation", "mobilevitv2", "modernbert", "mpnet", "nest",
    "nfnet", "olmoe", "packed_lstm", "paligemma", "pegasus", "phi3", "pit", "pvt", "pvt_v2",
    "qwen3", "qwen3_moe", "qwen3_step", "r2plus1d", "repvgg", "repvit", "resnest", "rexnet",
    "roformer", "rt_detr_v2", "rwkv", "sam", "sequencer2d", "sew", "sknet", "speech_to_text",
    "squeezebert", "ssdlite", "stablelm", "starnet", "swin3d", "swin_hf", "swinv2_cr",
    "swinv2_hf", "t5", "table_transformer", "twins", "unet1d", "unet2d", "unet_sdxl", "univnet",
    "upernet", "visformer", "vit_mae", "vitmatte", "volo", "vovnet", "wav2vec2_conformer",
    "wav2vec2_stable", "wavlm", "whisper", "xception41", "xcit", "xlnet", "yolo_v11_fixed",
    "yolo_v3_fixed", "yolo_v5_fixed", "yolo_v8_fixed",
))  # fmt: skip
"""Relatives of the others that take seconds each, nearly all of them in torch.export."""


@pytest.fixture(autouse=True)
def silence() -> Iterator[None]:
    """Without what transformers logs about vocabularies of 99 words and missing kernels."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def leaves(value: Any) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    children = value.values() if hasattr(value, "values") else value
    nested = [c for c in children if isinstance(c, torch.Tensor | list | tuple | dict)]
    return [leaf for child in nested for leaf in leaves(child)]


def error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference over the largest expected value."""
    assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape)
    if not theirs.is_floating_point():
        return float(not torch.equal(ours, theirs))
    finite = theirs.isfinite()
    assert torch.equal(ours[~finite].nan_to_num(), theirs[~finite].nan_to_num())
    assert torch.equal(ours.isfinite(), finite)
    if not finite.any():
        return 0.0
    largest = theirs[finite].abs().max()
    assert largest > 1e-3, "an answer of zeros agrees with anything"
    return float((ours[finite].double() - theirs[finite].double()).abs().max() / largest)


def traced(example: Example) -> Network:
    args, kwargs = example.calls[0]
    return trtdsl.trace(
        example.model, args or None, kwargs or None, dynamic_shapes=example.dynamic_shapes
    )


def assert_agrees(row: Row) -> Network:
    """The answers at every size, and the network."""
    example = row.build()
    network = traced(example)
    varies = any(not x.type.is_static for x in network.inputs)
    assert varies is not bool(row.static)
    for args, kwargs in example.calls:
        with torch.no_grad():
            expected = leaves(example.model(*args, **kwargs))
        answers = leaves(network.evaluate(*args, **kwargs))
        errors = [error(*pair) for pair in zip(answers, expected, strict=True)]
        assert max(errors) <= row.tolerance
    return network


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in zoo.SMALL]
)
def test_small(name: str) -> None:
    network = assert_agrees(zoo.SMALL[name])
    for version in RELEASES:
        api = lowered(network, version)
        assert api.created
        if api.strongly_typed:
            assert list(violations(api.network)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.REAL)
def test_real(name: str) -> None:
    assert_agrees(zoo.REAL[name])


def test_the_tables_are_wide() -> None:
    assert len(zoo.SMALL) >= 240
    assert set(zoo.SMALL) >= LONG
    assert len(zoo.SMALL) - len(LONG) >= 110
