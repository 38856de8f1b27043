"""What ``trtdsl inspect m.engine`` shows: the manifest, and the layers of an engine not yet run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from trtdsl.engine import Engine
    from trtdsl.manifest import Manifest

__all__ = ["layer_table", "manifest_table", "memory_table", "precisions"]

_TYPE = re.compile(
    r"\b(?:FP32|FP16|BF16|FP8|FP4|Float|Half|Int8|Int32|Int64|Bool)\b", re.IGNORECASE
)
_NAMES = {"FLOAT": "FP32", "HALF": "FP16"}


def manifest_table(path: Path, manifest: Manifest) -> Table:
    """Inputs, outputs, profiles and origin of an engine file."""
    made = Table(title=escape(str(path)), title_justify="left", show_header=False)
    for name, value in _facts(manifest):
        made.add_row(name, escape(value))
    return made


def _facts(manifest: Manifest) -> Iterator[tuple[str, str]]:
    yield from (("input", str(spec)) for spec in manifest.inputs)
    yield from (("output", str(spec)) for spec in manifest.outputs)
    for index, profile in enumerate(manifest.profiles):
        for name, size in profile.items():
            yield f"profile {index}", f"{name} is {size.min} to {size.max}, tuned for {size.opt}"
    yield "precision", manifest.precision
    yield "built by", f"trtdsl {manifest.trtdsl}, TensorRT {manifest.tensorrt}"
    yield "built for", f"{manifest.device} (compute capability {manifest.compute_capability})"
    yield "runs on", _runs_on(manifest)
    for plugin in manifest.plugins:
        home = f"of module {plugin.module}" if plugin.module else "of a library"
        where = "in the plan" if plugin.embedded else home
        yield "plugin", f"{plugin.name} {plugin.version}, {where}"
    if manifest.refit is not None:
        count, keys = len(manifest.refit["weights"]), len(manifest.refit["keys"])
        lacks = ", none of them in the plan" if manifest.stripped else ""
        yield "refit", f"{count} weights from {keys} keys{lacks}"
    yield "plan", f"{manifest.size:,} bytes, sha256 {manifest.sha256}"


def _runs_on(manifest: Manifest) -> str:
    version = manifest.tensorrt
    gpus = {
        "ampere_plus": "GPUs from Ampere on (compute capability 8.0)",
        "same_compute_capability": f"every GPU of compute capability {manifest.compute_capability}",
    }.get(manifest.hardware, "the model of GPU that it was built for")
    major = version.partition(".")[0]
    later = f"TensorRT {version} and later {major}.x" if manifest.version_compatible else ""
    return f"{later or f'TensorRT {version}'}; {gpus}"


def memory_table(engine: Engine) -> Table:
    """Bytes on the disk and on the GPU, and the number of layers in each precision."""
    made = Table(title="memory", title_justify="left", show_header=False)
    made.add_row("plan, weights included", decimal(len(engine.plan)))
    made.add_row("workspace of each context", decimal(engine.device_memory))
    counts = precisions(engine.inspect())
    made.add_row("layers", ", ".join(f"{n} {name}" for name, n in counts.items()) or "unknown")
    return made


def precisions(layers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many layers give each type, the most frequent first; ``other`` where none is told."""
    counted: Counter[str] = Counter()
    for layer in layers:
        formats = " ".join(str(o.get("Format/Datatype")) for o in layer.get("Outputs", ()))
        found = [name.upper() for name in _TYPE.findall(formats)]
        counted[_NAMES.get(found[0], found[0]) if found else "other"] += 1
    return dict(counted.most_common())


def layer_table(layers: Sequence[Mapping[str, Any]]) -> Table:
    """Each layer that TensorRT made, with its outputs and, where told, its kernel."""
    made = Table(title=f"{len(layers)} layers", title_justify="left")
    for column in ("name", "type", "outputs", "kernel"):
        made.add_column(column, overflow="fold")
    for layer in layers:
        outputs = [
            f"{o.get('Dimensions')} {o.get('Format/Datatype')}" for o in layer.get("Outputs", ())
        ]
        kernel = layer.get("TacticName", "")
        cells = (layer["Name"], layer.get("LayerType", ""), "; ".join(outputs), kernel)
        made.add_row(*(escape(str(cell)) for cell in cells))
    return made
