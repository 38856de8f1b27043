"""Every example runs as a script, and what it prints is right."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"


def _numbers(pattern: str, text: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, text)]


def _digits(out: str) -> None:
    """Two classifiers that agree, and a network whose batch norms are folded away."""
    accuracies = _numbers(r"accuracy of \w+: ([\d.]+)%", out)
    assert len(accuracies) == 2
    assert min(accuracies) >= 97
    assert _numbers(r"same digit: ([\d.]+)%", out)[0] >= 99.5
    # fp32 on both sides: the scores are of the order of 10
    assert _numbers(r"largest difference: ([\d.e+-]+)", out)[0] <= 1e-3
    assert "450 scans" in out
    assert "Convolution(padding=(1, 1))(input, folded 0.weight: f32[32, 1, 3, 3]" in out
    assert "batch is 1 to 512, tuned for 64" in out


def _by_hand(out: str) -> None:
    assert "= MatrixMultiply()(x, hidden: f32[16, 32])" in out
    assert "probabilities: f32[batch, 4] is output of soft_max" in out
    assert _numbers(r"largest difference: ([\d.e+-]+)", out)[0] <= 1e-6


def _dynamic_batch(out: str) -> None:
    assert re.findall(r"tags (\(.*?\))", out) == ["(1, 1, 4)", "(3, 50, 4)", "(16, 128, 4)"]
    assert max(_numbers(r"largest difference ([\d.e+-]+)", out)) <= 1e-6
    assert "RunError: input x has 17 at axis 0" in out
    assert "fix: keep batch in 1..16" in out


def _own_converter(out: str) -> None:
    before, after = out.split("with a converter:")
    assert "1 operator has no converter\n  example.soft_clip.default(f32[9], 2.0)" in before
    assert "return soft_clip(x * 3, 2.0)" in before
    assert "all 2 operators have converters" in after
    assert _numbers(r"largest difference: ([\d.e+-]+)", after)[0] <= 1e-6


def _own_plugin(out: str) -> None:
    assert "= StarRelu(scale=0.9, bias=-0.4)(" in out
    assert _numbers(r"largest difference: ([\d.e+-]+)", out)[0] <= 1e-6


def _save_load_run(out: str) -> None:
    """Without a GPU, what float16 costs: of vectors of length 1, and not nothing."""
    (error,) = _numbers(r"float16 by the reference: ([\d.e+-]+) off", out)
    assert 1e-5 < error < 5e-3
    assert "no engine: " in out or len(_numbers(r": ([\d.e+-]+) off", out)) == 4


def _forces(out: str) -> None:
    """As PyTorch has them; and of distances alone, so that no force moves the whole."""
    assert re.findall(r"(\d+) atoms", out) == ["2", "8", "50"]
    assert max(_numbers(r"largest difference ([\d.e+-]+)", out)) <= 1e-4
    assert max(_numbers(r"add up to ([\d.e+-]+)", out)) <= 1e-4


CHECKS: dict[str, Callable[[str], None]] = {
    "1_convert.py": _digits,
    "2_network_by_hand.py": _by_hand,
    "3_dynamic_batch.py": _dynamic_batch,
    "4_own_converter.py": _own_converter,
    "5_own_plugin.py": _own_plugin,
    "6_save_load_run.py": _save_load_run,
    "7_forces.py": _forces,
}


def test_every_example_is_run() -> None:
    assert sorted(path.name for path in EXAMPLES.glob("*.py")) == sorted(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    CHECKS[name](done.stdout)
