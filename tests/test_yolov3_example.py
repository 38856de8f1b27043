"""``examples/yolov3``: the published net, its file of weights, and the pipeline to the boxes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import trtdsl
from tests.models import vision_operators

PLACE = Path(__file__).parents[1] / "examples" / "yolov3"
assert vision_operators.SCHEMAS, "torchvision can be imported once its operators are declared"
pytest.importorskip("torchvision")
pytestmark = pytest.mark.filterwarnings("ignore:`create_unbacked_symint`:FutureWarning")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script as a module, which imports its neighbours as a script does."""
    from torchvision import extension

    monkeypatch.setattr(extension, "_has_ops", lambda: True)
    monkeypatch.syspath_prepend(str(PLACE))
    for name in ("detect", "net", "shapes"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import detect

    yield detect
    for name in ("detect", "net", "shapes"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_the_published_net_has_the_weights_of_its_file_in_their_order(example: Any) -> None:
    """yolov3.weights has 248,007,048 bytes; (filters, size) of its 75 convolutions: yolov3.cfg."""
    with torch.device("meta"):
        net = example.YOLOv3()
    tensors = sys.modules["net"].darknet_order(net)
    assert 20 + 4 * sum(x.numel() for x in tensors) == 248_007_048
    stages = [(64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)]
    wanted = [(32, 3)]
    for filters, blocks in stages:
        wanted += [(filters, 3), *[(filters // 2, 1), (filters, 3)] * blocks]
    for filters in (512, 256, 128):
        wanted += [] if filters == 512 else [(filters, 1)]
        wanted += [*[(filters, 1), (2 * filters, 3)] * 3, (255, 1)]
    assert [(x.shape[0], x.shape[2]) for x in tensors if x.ndim == 4] == wanted


@pytest.mark.parametrize(("version", "seen"), [((0, 2, 5), np.int64), ((0, 1, 0), np.int32)])
def test_a_file_of_weights_is_read(
    example: Any, tmp_path: Path, version: tuple[int, ...], seen: Any
) -> None:
    net = example.YOLOv3(classes=2, size=64, width=2, blocks=(1, 1, 1, 1, 1))
    count = sum(x.numel() for x in net.state_dict().values() if x.is_floating_point())
    numbers = np.arange(1, count + 1, dtype=np.float32) / count
    file = tmp_path / "w.weights"
    header = np.array(version, np.int32).tobytes() + np.array(7, seen).tobytes()
    file.write_bytes(header + numbers.tobytes())
    example.read_weights(net, file)
    convolution, norm = net.stem[0][0], net.stem[0][1]
    first = (norm.bias, norm.weight, norm.running_mean, norm.running_var, convolution.weight)
    got = torch.cat([x.detach().flatten() for x in first])
    torch.testing.assert_close(got, torch.from_numpy(numbers[: len(got)]), rtol=0, atol=0)
    last = net.head3.out
    got = torch.cat([last.bias.detach(), last.weight.detach().flatten()])
    torch.testing.assert_close(got, torch.from_numpy(numbers[-len(got) :]), rtol=0, atol=0)
    file.write_bytes(header + numbers[1:].tobytes())
    with pytest.raises(ValueError, match=rf"holds {count - 1} numbers, and the net {count}"):
        example.read_weights(net, file)


def test_boxes_are_decoded_as_the_paper_says(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second anchor of stride 16 at column 3 and row 1 of a 4 x 4 grid: 61 x 45 at 416."""
    net = example.YOLOv3(classes=2, size=64, width=2, blocks=(1, 1, 1, 1, 1)).eval()
    raw = torch.zeros(1, 3 * (4 + 16 + 64), 7)
    index = 3 * 4 + 16 + 1 * 4 + 3
    raw[0, index] = torch.tensor([1.0, -1.0, 0.5, -0.5, 2.0, 3.0, -3.0])
    monkeypatch.setattr(net, "raw", lambda x: raw)
    boxes, scores = net(torch.zeros(1, 3, 64, 64))
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    x, y = (3 + sigmoid(1.0)) * 16, (1 + sigmoid(-1.0)) * 16
    w, h = (62 * np.exp(0.5) * 64 / 416, 45 * np.exp(-0.5) * 64 / 416)
    expected = torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2]).float()
    torch.testing.assert_close(boxes[0, index], expected, rtol=1e-6, atol=1e-4)
    classes = torch.tensor([sigmoid(2.0) * sigmoid(3.0), sigmoid(2.0) * sigmoid(-3.0)]).float()
    torch.testing.assert_close(scores[0, index], classes, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(60, 200), (300, 100), (96, 96), (7, 5)])
def test_boxes_come_back_in_the_pixels_of_the_image(example: Any, height: int, width: int) -> None:
    """A bright patch keeps its place through the letterbox and back."""
    image = torch.zeros(3, height, width)
    top, left, bottom, right = (
        f * n // 4 for f, n in zip((1, 2, 3, 4), (height, width) * 2, strict=True)
    )
    image[:, top:bottom, left:right] = 1

    def finder(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        assert x.shape == (1, 3, 96, 96)
        ys, xs = (x[0, 0] > 0.75).nonzero().T
        corners = torch.stack((xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)).float()
        return corners[None], torch.ones(1), torch.zeros(1, dtype=torch.int64)

    boxes, _, _ = example.detect(finder, image, 96)
    pixel = max(height, width) / 96  # what one pixel of the net's is in the image
    wanted = torch.tensor([[left, top, right, bottom]]).float()
    torch.testing.assert_close(boxes, wanted, rtol=0, atol=max(1.5 * pixel, 1))


def detector(net: Any) -> nn.Module:
    """A narrow detector of the example's module ``net`` with random weights, many boxes found."""
    torch.manual_seed(0)
    made = net.YOLOv3(classes=3, size=96, width=4, blocks=(1, 1, 1, 1, 1))
    made.train()
    for _ in range(20):  # batch norms that know the data: activations of the size of 1
        made.raw(torch.rand(4, 3, 96, 96))
    for head in (made.head5, made.head4, made.head3):
        torch.nn.init.normal_(head.out.weight, std=0.5)
        head.out.bias.data.view(3, -1)[:, 2:4] = 1.5  # large boxes, some of which suppress others
    return net.Detector(made, score=0.3).eval()


@pytest.mark.parametrize("precision", [None, "fp16"])
def test_the_detector_converts_to_its_last_box(example: Any, precision: str | None) -> None:
    model = detector(sys.modules["net"])
    images = torch.rand(2, 1, 3, 96, 96)
    with pytest.warns(trtdsl.ReferenceWarning):
        converted = example.convert(model, precision)
    for image in images:
        with torch.no_grad():
            expected = model(image)
        boxes, scores, labels = converted(image)
        assert 20 <= len(expected[1]) < int((model.net(image)[1].amax(2) > 0.3).sum()) - 20
        if precision is None:
            for got, want in zip((boxes, scores, labels), expected, strict=True):
                torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)
        else:
            n = min(len(scores), len(expected[1]))
            assert abs(len(scores) - len(expected[1])) <= 0.1 * n
            torch.testing.assert_close(scores[:n], expected[1][:n], rtol=0, atol=1e-2)


def test_the_script_runs_to_the_end(tmp_path: Path) -> None:
    """A few steps of learning: what is found is little, and must be what PyTorch finds."""
    code = (
        "import sys, runpy; from tests.models import vision_operators; "
        "from torchvision import extension; extension._has_ops = lambda: True; "
        f"sys.argv = ['detect.py', '--steps', '60']; sys.path.insert(0, {str(PLACE)!r}); "
        f"runpy.run_path({str(PLACE / 'detect.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::trtdsl.ReferenceWarning", "-c", code],
        cwd=PLACE.parents[1],
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("Reference: ")
    agreed, given = second.removesuffix(" detections are PyTorch's").split(" of ")
    assert agreed == given
    assert int(given) >= 10
