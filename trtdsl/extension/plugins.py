"""Plugins in a network under construction: registered, made, and added as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError
from trtdsl.extension import plugin_v2
from trtdsl.extension.failures import take
from trtdsl.extension.instance import Instance
from trtdsl.ir.plugin import Plugin

if TYPE_CHECKING:
    from trtdsl.tensorrt_api import Api

__all__ = ["add_plugin", "register_all", "without_libraries"]


def add_plugin(api: Api, plugin: Plugin, inputs: Sequence[Any]) -> Any:
    """The layer of a plugin. Errors: BuildError where TensorRT, or the plugin itself, refuses."""
    operation = api.operation
    assert operation is not None
    instance = Instance(
        plugin=plugin,
        inputs=tuple(api.physical(x.dtype) for x in operation.inputs),
        outputs=tuple(api.physical(x.dtype) for x in operation.outputs),
    )
    take()
    _register(api.trt, type(plugin))
    registry = api.trt.get_plugin_registry()
    creator = registry.get_plugin_creator(instance.name, plugin.version, "")
    made = creator and creator.create_plugin(instance.name, _collection(api.trt, instance))
    if not made:
        raise BuildError(f"TensorRT made no plugin {instance.name}") from take()
    return api.add_plugin_v2([api.tensor(x) for x in inputs], made)


def register_all(trt: Any) -> None:
    """Make every imported plugin class known to TensorRT, before an engine is loaded."""
    for cls in list(Plugin.classes.values()):
        _register(trt, cls)


def without_libraries(trt: Any, config: Any) -> None:
    """Keep TensorRT 8 from loading cuDNN and cuBLAS to hand them to plugins, which use neither.

    It does so "if the relevant tactic sources are set" (kDISABLE_EXTERNAL_TACTIC_SOURCES_FOR_CORE
    of release 8.6), although its own layers use neither either.
    """
    unused = ("CUBLAS", "CUBLAS_LT", "CUDNN")
    members = [getattr(trt.TacticSource, n) for n in unused if hasattr(trt.TacticSource, n)]
    sources = config.get_tactic_sources()
    for member in members:
        sources &= ~(1 << int(member))
    if not config.set_tactic_sources(sources):
        raise BuildError("TensorRT refused to leave cuDNN and cuBLAS out")


def _register(trt: Any, cls: type[Plugin]) -> None:
    major, minor, patch = (int(part) for part in trt.__version__.split(".")[:3])
    plugin_v2.register(cls, f"libnvinfer.so.{major}", major * 1000 + minor * 100 + patch)


def _collection(trt: Any, instance: Instance) -> Any:
    return trt.PluginFieldCollection(plugin_v2.fields_of(trt, instance))
