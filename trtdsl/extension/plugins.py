"""Plugins in a network under construction: registered, made, and added as a layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trtdsl.errors import BuildError, LoadError, explain
from trtdsl.extension import ahead_of_time, plugin_v2, plugin_v3
from trtdsl.extension.failures import take
from trtdsl.extension.instance import Instance, in_place
from trtdsl.extension.library import LibraryPlugin, find_creator
from trtdsl.ir.plugin import Plugin
from trtdsl.manifest import PluginName
from trtdsl.tensorrt_api import (
    allow_aliases,
    has_aliases,
    has_python_plugins,
    only_libraries,
    version_number,
)

if TYPE_CHECKING:
    from trtdsl.network import Network, Operation
    from trtdsl.tensorrt_api import Api

__all__ = ["add_plugin", "configure", "names", "register"]


def add_plugin(api: Api, plugin: Plugin, inputs: Sequence[Any]) -> Any:
    """The layer of a plugin. Errors: BuildError where TensorRT, or the plugin itself, refuses."""
    operation = api.operation
    assert operation is not None
    instance = Instance(
        plugin=plugin,
        inputs=tuple(api.physical(x.dtype) for x in operation.inputs),
        outputs=tuple(api.physical(x.dtype) for x in operation.outputs),
        sizes=tuple(tuple(map(str, x.shape)) for x in operation.inputs),
        in_place=in_place(plugin, operation) if has_aliases(api.trt) else {},
    )
    for x in operation.outputs:
        api.dtype(x.dtype)  # which says so where this release has no such type
    take()
    tensors = [api.tensor(x) for x in inputs]
    if plugin.ahead_of_time and (layer := ahead_of_time.add(api, operation, tensors)):
        return layer
    _register(api.trt, type(plugin))
    if has_python_plugins(api.trt):
        made = plugin_v3.made(api.trt, instance)
        api.plugins.append(made)
        return api.add_plugin_v3(tensors, [], made)
    registry = api.trt.get_plugin_registry()
    creator = registry.get_plugin_creator(instance.name, plugin.version, "")
    made = creator and creator.create_plugin(instance.name, _collection(api.trt, instance))
    if not made:
        raise BuildError(f"TensorRT made no plugin {instance.name}") from take()
    return api.add_plugin_v2(tensors, made)


def names(network: Network, api: Api) -> tuple[PluginName, ...]:
    """The plugins in a network's engine, each once."""
    found: dict[PluginName, bool] = {}
    for operation in network.everywhere():
        layer = operation.layer
        if isinstance(layer, Plugin) and _is_taken(operation, api):
            cls = type(layer)
            name = PluginName(name=cls.__name__, version=cls.version, module=cls.__module__)
            held = ahead_of_time.embedded(api, operation)
            found[name] = held and found.get(name, True)
        elif isinstance(layer, LibraryPlugin):
            name = PluginName(name=layer.name, version=layer.version, namespace=layer.namespace)
            found[name] = False
    return tuple(replace(name, embedded=found[name]) for name in sorted(found))


def _is_taken(operation: Operation, api: Api) -> bool:
    """Whether an engine has the plugin itself, and not the layers that it stands for."""
    types = (x.type.with_dtype(api.physical(x.dtype)) for x in operation.inputs)
    layer = operation.layer
    return layer.available(api) and layer.takes(*types)


def configure(trt: Any, config: Any, network: Network) -> None:
    """Tell TensorRT what the plugins of a network want of a build."""
    layers = [op.layer for op in network.everywhere()]
    own = [layer for layer in layers if isinstance(layer, Plugin)]
    if any(layer.aliases for layer in own):
        allow_aliases(trt, config)
    others = [layer for layer in layers if isinstance(layer, LibraryPlugin)]
    if own or others:
        only_libraries(trt, config, {name for layer in others for name in layer.handles})


def register(trt: Any, plugins: Sequence[PluginName]) -> None:
    """Make an engine's plugins known to TensorRT, before it is loaded.

    Errors: LoadError for one that has not been imported.
    """
    wanted = [p for p in plugins if p.module and not p.embedded]
    for cls in [Plugin.find(p.name, p.version, p.module) for p in wanted]:
        _register(trt, cls)
    for p in plugins:
        if not p.module and find_creator(trt, p.name, p.version, p.namespace) is None:
            raise LoadError(
                explain(
                    f"the engine holds plugin {p.name}, version {p.version}, of a library that is "
                    "not loaded",
                    fix="trtdsl.plugins.load_library(path) before the engine is loaded",
                )
            )


def _register(trt: Any, cls: type[Plugin]) -> None:
    if has_python_plugins(trt):
        plugin_v3.register(trt, cls)
        return
    version = version_number(trt)
    plugin_v2.register(cls, f"libnvinfer.so.{version // 1000}", version)


def _collection(trt: Any, instance: Instance) -> Any:
    return trt.PluginFieldCollection(plugin_v2.fields_of(trt, instance))
