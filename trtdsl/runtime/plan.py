"""A plan's bytes to TensorRT's engine object, held against its manifest."""

from __future__ import annotations

from typing import Any

from trtdsl.errors import LoadError, RunError, explain
from trtdsl.extension import failures
from trtdsl.manifest import Manifest, TensorSpec
from trtdsl.runtime import logger
from trtdsl.runtime.device import primary_context, require_gpu
from trtdsl.tensorrt_api import dtype_of, import_tensorrt

__all__ = ["deserialize", "serialized"]


def deserialize(plan: bytes, manifest: Manifest, device: int) -> Any:
    """The ``tensorrt.ICudaEngine`` of a plan, on a device.

    Errors: UnavailableError without TensorRT or GPU; LoadError carries TensorRT's words where it
    refuses the plan, and both values where plan and manifest differ.
    """
    trt = import_tensorrt()
    require_gpu(device)
    _register_plugins(trt, manifest)
    log = logger.tensorrt_logger()
    logger.clear()
    with primary_context(device):
        runtime = logger.constructed(LoadError, trt.Runtime, log)
        # A version-compatible plan holds a runtime of its own, which is host code.
        runtime.engine_host_code_allowed = manifest.version_compatible
        engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        cause = failures.take()
        if isinstance(cause, LoadError):
            raise cause
        words = "; ".join(logger.last_errors()) or "TensorRT gave no reason"
        raise LoadError(
            explain(
                f"TensorRT {trt.__version__} refused the plan of {len(plan)} bytes: {words}",
                fix="build the engine again on this machine",
            )
        ) from cause
    _check_tensors(trt, engine, manifest)
    return engine


def serialized(engine: Any) -> bytes:
    """The plan of a ``tensorrt.ICudaEngine`` as it is now.

    Errors: RunError with TensorRT's words when it gives none.
    """
    logger.clear()
    plan = engine.serialize()
    if plan is None:
        words = "; ".join(logger.last_errors()) or "it gave no reason"
        raise RunError(f"TensorRT did not serialize the engine: {words}")
    return bytes(plan)


def _register_plugins(trt: Any, manifest: Manifest) -> None:
    """Make the engine's plugins known to TensorRT; without any, import nothing."""
    if not all(plugin.embedded for plugin in manifest.plugins):
        from trtdsl.extension.plugins import register

        register(trt, manifest.plugins)


def _check_tensors(trt: Any, engine: Any, manifest: Manifest) -> None:
    found = {engine.get_tensor_name(i) for i in range(engine.num_io_tensors)}
    wanted = {spec.name for spec in (*manifest.inputs, *manifest.outputs)}
    if found != wanted:
        raise _mismatch(f"the plan has the tensors {sorted(found)}", f"{sorted(wanted)}")
    for mode, specs in (
        (trt.TensorIOMode.INPUT, manifest.inputs),
        (trt.TensorIOMode.OUTPUT, manifest.outputs),
    ):
        for spec in specs:
            if engine.get_tensor_mode(spec.name) != mode:
                raise _mismatch(f"{spec.name} goes the other way in the plan", f"{mode}")
            _check_tensor(trt, engine, spec)


def _check_tensor(trt: Any, engine: Any, spec: TensorSpec) -> None:
    dtype = dtype_of(engine.get_tensor_dtype(spec.name))
    if dtype != spec.engine_dtype:
        raise _mismatch(f"{spec.name} is {dtype.value} in the plan", spec.engine_dtype.value)
    try:
        shape = tuple(engine.get_tensor_shape(spec.name))
    except ValueError:  # a rank of -1: TensorRT 8.6 has no shape where values decide sizes
        shape = tuple(-1 for _ in spec.shape)
    known = all(
        size in (-1, wanted)
        for size, wanted in zip(shape, spec.shape, strict=False)
        if isinstance(wanted, int)
    )
    if len(shape) != len(spec.shape) or not known:
        raise _mismatch(f"{spec.name} has the shape {shape} in the plan", f"{spec.shape}")
    if engine.get_tensor_location(spec.name) != trt.TensorLocation.DEVICE:
        raise LoadError(
            explain(
                f"{spec.name} must lie in host memory: the engine computes shapes from its values",
                fix="give that number at conversion, or take it from a tensor's shape",
            )
        )


def _mismatch(found: str, wanted: str) -> LoadError:
    what = f"plan and manifest differ: {found}, and the manifest says {wanted}"
    return LoadError(explain(what, fix="save the engine again; its two files belong together"))
