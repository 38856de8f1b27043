"""Engine files on a GPU: saved, loaded, run in other processes; damaged and foreign ones."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import trtdsl
from tests.gpu.mlp import data, mlp_engine
from trtdsl.engine import Engine
from trtdsl.errors import LoadError
from trtdsl.runtime import files

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pycuda.*"),
]


@pytest.fixture
def engine() -> Engine:
    return mlp_engine()


@pytest.fixture
def saved(engine: Engine, tmp_path: Path) -> Path:
    path = tmp_path / "mlp.engine"
    engine.save(path)
    return path


ORDERS = {
    "pycuda first": "import pycuda.driver, torch",
    "torch first": "import torch, pycuda.driver",
    "torch used first": "import torch; torch.ones(1).cuda(); import pycuda.driver",
}
SCRIPT = """
import sys
{imports}
import numpy as np
import trtdsl
path, host_copies = sys.argv[1:]
case = np.load(path + ".npz")
engine = trtdsl.load(path, host_copies=host_copies)
for _ in range(2):
    np.testing.assert_array_equal(engine(case["x"]), case["y"])
{more}
print("agreed", "torch" in sys.modules)
"""


def run_script(saved: Path, engine: Engine, host_copies: str, imports: str, more: str = "") -> str:
    x = data(7)
    np.savez(f"{saved}.npz", x=x.numpy(), y=engine(x.cuda()).cpu().numpy())
    script = SCRIPT.format(imports=imports, more=more)
    command = [sys.executable, "-c", script, str(saved), host_copies]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("order", ORDERS)
def test_either_import_order(saved: Path, engine: Engine, order: str) -> None:
    pytest.importorskip("pycuda.driver")
    more = """
y = engine(torch.from_numpy(case["x"]).cuda())
np.testing.assert_array_equal(y.cpu().numpy(), case["y"])
np.testing.assert_array_equal(engine(case["x"]), case["y"])
"""
    assert "agreed True" in run_script(saved, engine, "pycuda", ORDERS[order], more)


@pytest.mark.parametrize("imports", ["", "import pycuda.autoinit"])
def test_numpy_through_pycuda_never_imports_torch(
    saved: Path, engine: Engine, imports: str
) -> None:
    pytest.importorskip("pycuda.driver")
    assert "agreed False" in run_script(saved, engine, "pycuda", imports)


def test_loaded_in_another_process_without_pycuda(saved: Path, engine: Engine) -> None:
    imports = "sys.modules['pycuda'] = sys.modules['pycuda.driver'] = None"
    assert "agreed True" in run_script(saved, engine, "auto", imports)


def test_describes_itself(engine: Engine) -> None:
    assert engine.num_layers >= 1
    assert engine.device_memory >= 0
    layers = engine.inspect()
    assert len(layers) >= 1
    assert all(isinstance(layer["Name"], str) for layer in layers)


def test_load_gives_the_same_answers(saved: Path, engine: Engine) -> None:
    again = trtdsl.load(saved)
    assert again.manifest == engine.manifest
    assert again.plan == engine.plan == saved.read_bytes()
    x = data(9).cuda()
    assert torch.equal(again(x), engine(x))


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("tensorrt", "7.2.1", r"built by TensorRT 7\.2\.1 and this is .*, another major version"),
        ("compute_capability", "1.0", r"compute capability 1\.0 .* GPU 0 here is"),
    ],
)
def test_an_engine_of_another_machine(
    saved: Path, tmp_path: Path, field: str, value: str, words: str
) -> None:
    path = tmp_path / "other.engine"
    path.write_bytes(saved.read_bytes())
    manifest = json.loads(files.manifest_path(saved).read_text())
    files.manifest_path(path).write_text(json.dumps({**manifest, field: value}))
    with pytest.raises(LoadError, match=words):
        trtdsl.load(path)


def test_a_truncated_file(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.engine"
    path.write_bytes(saved.read_bytes()[:-100])
    files.manifest_path(path).write_bytes(files.manifest_path(saved).read_bytes())
    with pytest.raises(LoadError, match="truncated"):
        trtdsl.load(path)


def test_tensorrts_own_words_when_it_refuses_a_plan(engine: Engine) -> None:
    with pytest.raises(LoadError, match="refused the plan of 900 bytes") as error:
        Engine(b"no plan: " * 100, engine.manifest)
    assert "TensorRT gave no reason" not in str(error.value)


def test_plan_and_manifest_of_two_engines(engine: Engine) -> None:
    output = dataclasses.replace(engine.manifest.outputs[0], name="elsewhere")
    with pytest.raises(LoadError, match="plan and manifest differ"):
        Engine(engine.plan, dataclasses.replace(engine.manifest, outputs=(output,)))
