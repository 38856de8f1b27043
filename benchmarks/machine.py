"""The machine and the versions that a reading was taken with."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

import torch

import trtdsl
from trtdsl.runtime.device import find_gpu
from trtdsl.tensorrt_api import installed_version

__all__ = ["commit", "describe", "slug", "why_no_gpu_runs"]

_ROOT = Path(__file__).parent.parent
_DRIVER = Path("/proc/driver/nvidia/version")


def describe() -> dict[str, object]:
    """Processor, memory, GPU and driver, and the versions of what takes part."""
    gpu = find_gpu()
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "gpu": str(gpu) if gpu else None,
        "gpu_memory_bytes": gpu.memory if gpu else None,
        "cuda_of_driver": gpu.cuda if gpu else None,
        "driver": _driver() if gpu else None,
        "tensorrt": installed_version(),
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "torch_threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "trtdsl": trtdsl.__version__,
    }


def slug() -> str:
    """A file name for this machine: ``nvidia-h200``, or ``cpu``."""
    gpu = find_gpu()
    return re.sub(r"[^a-z0-9]+", "-", gpu.name.lower()).strip("-") if gpu else "cpu"


def why_no_gpu_runs() -> str | None:
    """What keeps engines from being run on torch tensors here; None where nothing does."""
    from trtdsl.tensorrt_api import why_unavailable

    missing = why_unavailable()
    if missing is None and not torch.cuda.is_available():
        return f"torch {torch.__version__} finds no GPU"
    return missing


def commit() -> str | None:
    """The commit of the checkout, ``+`` after it where files differ; None outside of git."""
    head = _output("git", "-C", str(_ROOT), "rev-parse", "HEAD")
    changed = _output("git", "-C", str(_ROOT), "status", "--porcelain", "--untracked-files=no")
    return f"{head}{'+' if changed else ''}" if head else None


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _driver() -> str | None:
    try:
        text = _DRIVER.read_text()
    except OSError:
        query = ("--query-gpu=driver_version", "--format=csv,noheader", "--id=0")
        return _output("nvidia-smi", *query)
    found = re.search(r"\b\d+\.\d+(\.\d+)?\b", text)
    return found[0] if found else None


def _output(*command: str) -> str | None:
    """What a program prints; None where it is missing, fails, or prints nothing."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return (done.stdout.strip() or None) if done.returncode == 0 else None
