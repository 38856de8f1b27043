"""Engine files: ``m.engine``, a plain TensorRT plan, and ``m.engine.json``, its manifest.

All that can be wrong with them is found here, before TensorRT is asked.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import secrets
from pathlib import Path

from trtdsl.errors import LoadError, explain
from trtdsl.manifest import Manifest
from trtdsl.runtime.device import require_gpu
from trtdsl.tensorrt_api import import_tensorrt

__all__ = ["check_compatible", "digest", "manifest_path", "read", "write"]

_AMPERE = (8, 0)
_REBUILD = "build the engine again here: trtdsl.convert(model, inputs).save(path)"


def manifest_path(path: Path) -> Path:
    """Where the manifest of an engine file is: beside it, with ``.json`` added."""
    return path.with_name(path.name + ".json")


def digest(plan: bytes) -> str:
    """The sha256 of a plan, in hexadecimal."""
    return hashlib.sha256(plan).hexdigest()


def write(path: Path, plan: bytes, manifest: Manifest) -> None:
    """Write both files whole or not at all: a reader sees the old file or the new, never a part.

    Killed between the two renames, the new plan lies beside the old manifest, and ``read`` says so.
    Errors: OSError from the file system; ConversionError for an output class without import path.
    """
    text = json.dumps(manifest.to_json(), indent=1) + "\n"
    parts = ((path, plan), (manifest_path(path), text.encode("ascii")))
    token = f"{os.getpid()}-{secrets.token_hex(4)}"
    temporary = [target.with_name(f".{target.name}.{token}") for target, _ in parts]
    try:
        for place, (_, data) in zip(temporary, parts, strict=True):
            _write_synced(place, data)
        for place, (target, _) in zip(temporary, parts, strict=True):
            os.replace(place, target)
    finally:
        for place in temporary:
            place.unlink(missing_ok=True)
    _sync_directory(path.parent)


def read(path: Path) -> tuple[bytes, Manifest]:
    """The plan and the manifest of an engine file, held against one another.

    Errors: LoadError for a missing, garbled or truncated file, or two that do not belong together.
    """
    for place, what in ((path, "engine file"), (manifest_path(path), "manifest")):
        if not place.is_file():
            fix = "check the path; an engine is two files, PATH and PATH.json"
            raise LoadError(explain(f"there is no {what} {place}", fix=fix))
    manifest = _read_manifest(manifest_path(path))
    plan = path.read_bytes()
    if len(plan) != manifest.size:
        raise LoadError(
            explain(
                f"{path} has {len(plan)} bytes, and its manifest says {manifest.size}: "
                f"it is {'truncated' if len(plan) < manifest.size else 'another engine'}",
                fix="copy both files again, or save the engine again",
            )
        )
    found = digest(plan)
    if found != manifest.sha256:
        raise LoadError(
            explain(
                f"{path} has the sha256 {found[:16]}..., and its manifest says "
                f"{manifest.sha256[:16]}...: the plan is damaged or another engine's",
                fix="copy both files again, or save the engine again",
            )
        )
    return plan, manifest


def check_compatible(path: Path | str, manifest: Manifest, device: int) -> None:
    """Hold a manifest against the TensorRT and the GPU of this machine.

    Errors: LoadError for another version or compute capability; UnavailableError without them.
    """
    _check_version(path, manifest, str(import_tensorrt().__version__))
    gpu = require_gpu(device)
    built, here = manifest.compute_capability, gpu.compute_capability
    if manifest.hardware == "ampere_plus" and min(_numbers(built), _numbers(here)) >= _AMPERE:
        return
    if built != here:
        more = " and all from 8.0 on" if manifest.hardware == "ampere_plus" else ""
        raise LoadError(
            explain(
                f"{path} was built for compute capability {built} ({manifest.device}){more}, and "
                f"GPU {device} here is {gpu}",
                fix=_REBUILD,
            )
        )


def _check_version(path: Path | str, manifest: Manifest, here: str) -> None:
    built = manifest.tensorrt
    if built == here:
        return
    same_major = built.partition(".")[0] == here.partition(".")[0]
    if manifest.version_compatible and same_major and _numbers(built) <= _numbers(here):
        return
    needs = "a plan needs the very version that built it"
    if manifest.version_compatible:
        needs = "this plan needs the version that built it or a later one of the same major"
    raise LoadError(
        explain(
            f"{path} was built by TensorRT {built} and this is TensorRT {here}, "
            f"{'another' if same_major else 'another major'} version: {needs}",
            fix=f"{_REBUILD}, or pip install tensorrt=={built}",
        )
    )


def _numbers(version: str) -> tuple[int, ...]:
    """``8.6.1.post1`` as ``(8, 6, 1)``."""
    parts = itertools.takewhile(str.isdigit, version.split("."))
    return tuple(int(part) for part in parts)


def _read_manifest(place: Path) -> Manifest:
    try:
        obj = json.loads(place.read_bytes())
    except (ValueError, RecursionError) as error:
        fix = "copy it again, or save the engine again"
        raise LoadError(explain(f"{place} is not JSON: {error}", fix=fix)) from error
    try:
        return Manifest.from_json(obj)
    except LoadError as error:
        raise LoadError(f"{place}: {error}") from error


def _write_synced(place: Path, data: bytes) -> None:
    with place.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(place: Path) -> None:
    """Make the renames last through a power cut, where the system can open a directory."""
    if os.name == "nt":
        return
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
