"""Settings of builds and contexts that releases have under different names, or not at all."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from trtdsl.errors import BuildError, explain
from trtdsl.tensorrt_api.installed import import_tensorrt
from trtdsl.tensorrt_api.release import has_aliases, refits_one_by_one

__all__ = [
    "allow_aliases",
    "allow_precision",
    "allow_refit",
    "context_memory",
    "context_without_memory",
    "only_libraries",
    "set_compatibility",
    "set_workspace",
    "share_profiles",
]


def share_profiles(trt: Any, config: Any) -> None:
    """Let several execution contexts use one profile, which TensorRT 8 does not do unasked."""
    if trt.__version__.startswith("8."):
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)


def allow_aliases(trt: Any, config: Any) -> None:
    """Let outputs of plugins be the memory of inputs, where the release has that."""
    if has_aliases(trt):
        config.set_preview_feature(trt.PreviewFeature.ALIASED_PLUGIN_IO_10_03, True)


def allow_precision(trt: Any, config: Any, precision: str | None) -> None:
    """Let the layers of a network that is not strongly typed compute in 16 bits.

    Errors: BuildError where the release has strongly typed networks only.
    """
    if precision not in ("fp16", "bf16"):
        return
    flag = getattr(trt.BuilderFlag, precision.upper(), None)
    if flag is None:
        raise BuildError(
            explain(
                f"TensorRT {trt.__version__} has no {precision} flag for a parsed ONNX file",
                fix="export a module in 16 bits, model.half(), and build without precision",
            )
        )
    config.set_flag(flag)


def allow_refit(trt: Any, config: Any, *, strip: bool) -> None:
    """Let weights of the engine be changed later; ``strip`` leaves them out of the plan.

    Errors: BuildError where the release cannot leave them out.
    """
    if trt.__version__.startswith("8.") and config.get_flag(trt.BuilderFlag.VERSION_COMPATIBLE):
        raise BuildError(
            explain(
                f"TensorRT {trt.__version__} cannot refit version-compatible plans",
                fix="use TensorRT 10 or later, or leave out one of the two",
            )
        )
    kind = "REFIT_INDIVIDUAL" if refits_one_by_one(trt) else "REFIT"
    config.set_flag(getattr(trt.BuilderFlag, kind))
    if not strip:
        return
    if not hasattr(trt.BuilderFlag, "STRIP_PLAN"):
        raise BuildError(
            explain(
                f"TensorRT {trt.__version__} makes no plans without weights",
                fix="use TensorRT 10 or later, or leave out strip_weights",
            )
        )
    config.set_flag(trt.BuilderFlag.STRIP_PLAN)


def set_compatibility(trt: Any, config: Any, *, versions: bool, hardware: str) -> None:
    """Make a plan for later versions or for other GPUs; ``hardware`` is one of options.HARDWARE.

    Errors: BuildError where the release has no such plans.
    """
    if versions:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if hardware == "same":
        return
    level = hardware.upper()
    if not hasattr(trt.HardwareCompatibilityLevel, level):
        raise BuildError(
            explain(
                f"TensorRT {trt.__version__} has no HardwareCompatibilityLevel.{level}",
                fix='use TensorRT 10.9 or later, or hardware_compatible="ampere_plus"',
            )
        )
    config.hardware_compatibility_level = getattr(trt.HardwareCompatibilityLevel, level)


def context_memory(engine: Any) -> int:
    """Bytes that each execution context of an ICudaEngine takes for its workspace."""
    # device_memory_size went with TensorRT 11, and device_memory_size_v2 came with 10.1.
    if hasattr(engine, "device_memory_size_v2"):
        return int(engine.device_memory_size_v2)
    return int(engine.device_memory_size)


def context_without_memory(engine: Any) -> Any:
    """An execution context that ``set_workspace`` must give memory to; None when refused."""
    # The strategy of create_execution_context came with 10.0, as serialization configurations did;
    # the other name is deprecated since, and went with TensorRT 11.
    if not hasattr(engine, "create_serialization_config"):
        return engine.create_execution_context_without_device_memory()
    strategy = import_tensorrt().ExecutionContextAllocationStrategy.USER_MANAGED
    return engine.create_execution_context(strategy)


def set_workspace(context: Any, address: int, size: int) -> None:
    """Let a context use ``size`` bytes of device memory at ``address`` as its workspace."""
    if hasattr(context, "set_device_memory"):  # since 10.1
        context.set_device_memory(address, size)
    else:
        context.device_memory = address


def only_libraries(trt: Any, config: Any, wanted: Collection[str]) -> None:
    """Keep TensorRT 8 from loading cuBLAS and cuDNN for plugins, but for the ``wanted``.

    It does so "if the relevant tactic sources are set" (kDISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE
    of release 8.6), although its own layers use neither then; cuBLASLt no plugin is handed. Errors:
    BuildError.
    """
    names = {"CUBLAS": "cublas", "CUBLAS_LT": "", "CUDNN": "cudnn"}
    unused = [source for source, library in names.items() if library not in wanted]
    members = [getattr(trt.TacticSource, n) for n in unused if hasattr(trt.TacticSource, n)]
    sources = config.get_tactic_sources()
    for member in members:
        sources &= ~(1 << int(member))
    if not config.set_tactic_sources(sources):
        raise BuildError(f"TensorRT refused to leave out {', '.join(unused)}")
