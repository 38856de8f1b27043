"""What this machine has for building and running engines, what it lacks, and what to install."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from trtdsl.errors import UnavailableError
from trtdsl.render import size_text
from trtdsl.runtime.device import find_gpu, why_no_gpu
from trtdsl.tensorrt_api import import_tensorrt, installed_version

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Diagnosis", "Finding", "examine"]

Status = Literal["ok", "missing", "optional"]
_DRIVER_VERSION = Path("/proc/driver/nvidia/version")
_SUPPORTED = "8.6, 10.x and 11.x"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked for.

    ``status``: ``"ok"``; ``"missing"`` keeps engines from being built here; ``"optional"`` is
    missing too, and only costs what ``fix`` says.
    """

    name: str
    status: Status
    found: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """All findings; ``ready`` says whether engines can be built and run here."""

    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        return all(f.status != "missing" for f in self.findings)

    def table(self) -> Table:
        """The findings as a table for the terminal."""
        from rich.markup import escape
        from rich.table import Table

        style = {"ok": "green", "missing": "red", "optional": "yellow"}
        made = Table(title="trtdsl doctor", title_justify="left")
        for column in ("what", "status", "found", "to do"):
            made.add_column(column, overflow="fold")
        for f in self.findings:
            status = f"[{style[f.status]}]{f.status}[/]"
            made.add_row(f.name, status, escape(f.found), escape(f.fix))
        return made

    def __str__(self) -> str:
        lines = [
            f"{f.name}: {f.status}: {f.found}" + f"; {f.fix}" * bool(f.fix) for f in self.findings
        ]
        return "\n".join(lines)


def examine() -> Diagnosis:
    """Look around, without TensorRT's builder and runtime: they crash where there is no GPU."""
    looks: tuple[Callable[[], Finding], ...] = (_gpu, _driver, _tensorrt, _torch, _pycuda, _onnx)
    return Diagnosis(findings=(*(look() for look in looks), _onnxruntime()))


def _gpu() -> Finding:
    gpu = find_gpu()
    if gpu is None:
        fix = "use a machine with an NVIDIA GPU; tracing, checking and the reference work here"
        return Finding(name="GPU", status="missing", found=str(why_no_gpu()), fix=fix)
    found = f"{gpu.name}, compute capability {gpu.compute_capability}, {size_text(gpu.memory)}"
    return Finding(name="GPU", status="ok", found=found)


def _driver() -> Finding:
    gpu = find_gpu()
    try:
        text = _DRIVER_VERSION.read_text()
    except OSError:
        text = ""
    match = re.search(r"Kernel Module\s+(?:for \S+\s+)?([\d.]+)", text)
    version = match[1] if match else "of unknown version"
    if gpu is None:
        found = version if match else "no driver found"
        fix = "" if match else "install NVIDIA's driver"
        return Finding(name="driver", status="ok" if match else "missing", found=found, fix=fix)
    return Finding(name="driver", status="ok", found=f"{version}, serves CUDA up to {gpu.cuda}")


def _tensorrt() -> Finding:
    found = installed_version()
    try:
        version = import_tensorrt().__version__
    except UnavailableError as error:
        what, _, fix = str(error).partition("\n  fix: ")
        found = f"{found}: {what}" if found else "not installed"
        return Finding(name="TensorRT", status="missing", found=found, fix=fix)
    return Finding(name="TensorRT", status="ok", found=f"{version} (trtdsl takes {_SUPPORTED})")


def _torch() -> Finding:
    import torch

    if torch.version.cuda is None:
        fix = "for CUDA tensors in and out: pip install torch with CUDA, see pytorch.org"
        found = f"{torch.__version__}, without CUDA"
        return Finding(name="torch", status="optional", found=found, fix=fix)
    found = f"{torch.__version__}, CUDA {torch.version.cuda}"
    if not torch.cuda.is_available():
        fix = "for CUDA tensors in and out: a GPU, and a driver that serves torch's CUDA"
        return Finding(name="torch", status="optional", found=f"{found}, sees no GPU", fix=fix)
    return Finding(name="torch", status="ok", found=f"{found}, sees the GPU")


def _pycuda() -> Finding:
    fix = "for numpy arrays without torch: pip install pycuda (needs the CUDA toolkit)"
    return _package("pycuda", "pycuda.driver", fix)


def _onnx() -> Finding:
    fix = "for the node names in ONNX parser errors: pip install 'trtdsl[onnx]'"
    return _package("onnx", "onnx", fix)


def _onnxruntime() -> Finding:
    fix = "for the ONNX path without TensorRT: pip install 'trtdsl[onnx]'"
    return _package("onnxruntime", "onnxruntime", fix)


def _package(name: str, module: str, fix: str) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name=name, status="optional", found="not installed", fix=fix)
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        found = f"{version}, which cannot be imported: {error}"
        return Finding(name=name, status="optional", found=found, fix=fix)
    return Finding(name=name, status="ok", found=version)
