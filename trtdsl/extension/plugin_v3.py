"""Plugins for TensorRT 10 and later, where Python may subclass IPluginV3.

The classes are made for the ``tensorrt`` module at hand, since nothing here imports it. A plugin
holds its record, the one field that an engine keeps of it; a clone, which each context has, plans
its launches for itself.
Source: IPluginV3, IPluginV3OneCore, IPluginV3OneBuild (IPluginV3OneBuildV2 of 10.3 and later),
IPluginV3OneRuntime, IPluginCreatorV3One.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

from trtdsl.errors import BuildError
from trtdsl.extension.failures import note
from trtdsl.extension.instance import Instance, Shapes
from trtdsl.extension.size_expressions import read, write
from trtdsl.ir.plugin import Plugin
from trtdsl.runtime.once import once
from trtdsl.tensorrt_api import data_type

__all__ = ["creator", "made", "register"]

_RECORD = "record"


def _kept(method: Callable[..., Any]) -> Callable[..., Any]:
    """Keep what a method raises before TensorRT makes an error without a cause of it."""

    @wraps(method)
    def function(self: Any, *args: Any) -> Any:
        try:
            return method(self, *args)
        except BaseException as error:
            note(self.label, error)
            raise

    return function


@cache
def _plugin_class(trt: Any, *, in_place: bool) -> type:
    """The class of the plugins of a ``tensorrt`` module, ``in_place`` where one has aliases."""
    build = trt.IPluginV3OneBuildV2 if in_place else trt.IPluginV3OneBuild
    bases = (trt.IPluginV3, trt.IPluginV3OneCore, build, trt.IPluginV3OneRuntime)

    def init(self: Any, instance: Instance) -> None:
        for base in bases:
            base.__init__(self)
        self.instance = instance
        self.label = self.plugin_name = instance.name
        self.plugin_version = instance.plugin.version
        self.plugin_namespace = ""
        self.num_outputs = len(instance.outputs)
        # TensorRT reads the fields after the call that gave them: they live as long as the plugin.
        self.fields = _fields(trt, instance)
        self.kept = trt.PluginFieldCollection(self.fields)
        self.shapes = None

    methods = {"__init__": init, **_core(trt), **_build(trt), **_runtime()}
    return type("PluginV3", bases, methods)


def _core(trt: Any) -> dict[str, Any]:
    def get_capability_interface(self: Any, type: Any) -> Any:
        return self

    def clone(self: Any) -> Any:
        other = made(trt, self.instance.apart())
        other.plugin_namespace = self.plugin_namespace
        return other

    def attach_to_context(self: Any, resource_context: Any) -> Any:
        return self.clone()

    def get_fields_to_serialize(self: Any) -> Any:
        return self.kept

    return {
        "get_capability_interface": get_capability_interface,
        "clone": _kept(clone),
        "attach_to_context": _kept(attach_to_context),
        "get_fields_to_serialize": get_fields_to_serialize,
    }


def _build(trt: Any) -> dict[str, Any]:
    def get_output_data_types(self: Any, input_types: Any) -> list[Any]:
        return [data_type(trt, dtype) for dtype in self.instance.outputs]

    def get_output_shapes(
        self: Any, inputs: Any, shape_inputs: Any, expr_builder: Any
    ) -> list[Any]:
        sizes = [[dims[axis] for axis in range(len(dims))] for dims in inputs]
        shapes, known = read(sizes, _constant, self.instance.sizes)
        return [
            trt.DimsExprs(
                [
                    write(d, known, expr_builder.constant, _operation(trt, expr_builder))
                    for d in shape
                ]
            )
            for shape in (output.shape for output in self.instance.infer(shapes))
        ]

    def supports_format_combination(self: Any, pos: int, in_out: Any, num_inputs: int) -> bool:
        desc = in_out[pos].desc
        dtype = (*self.instance.inputs, *self.instance.outputs)[pos]
        return bool(desc.type == data_type(trt, dtype) and desc.format == trt.TensorFormat.LINEAR)

    def configure_plugin(self: Any, inputs: Any, outputs: Any) -> None:
        """Nothing: shapes are taken as they come with each run."""

    def get_workspace_size(self: Any, inputs: Any, outputs: Any) -> int:
        return int(self.instance.workspace([tuple(x.max) for x in inputs]))

    methods = (
        get_output_data_types,
        get_output_shapes,
        supports_format_combination,
        configure_plugin,
        get_workspace_size,
        _get_aliased_input,
    )
    return {method.__name__.lstrip("_"): _kept(method) for method in methods}


def _get_aliased_input(self: Any, output_index: int) -> int:
    return int(self.instance.in_place.get(output_index, -1))


def _runtime() -> dict[str, Any]:
    def enqueue(
        self: Any,
        input_desc: Any,
        output_desc: Any,
        inputs: Any,
        outputs: Any,
        workspace: int,
        stream: int,
    ) -> None:
        shapes = self.shapes or _shapes(input_desc, output_desc)
        self.instance.run(shapes, (*inputs, *outputs), workspace=workspace, stream=stream)

    def on_shape_change(self: Any, inputs: Any, outputs: Any) -> None:
        self.shapes = _shapes(inputs, outputs)

    def set_tactic(self: Any, tactic: int) -> None:
        """Nothing: a plugin has one way to run."""

    methods = (enqueue, on_shape_change, set_tactic)
    return {method.__name__: _kept(method) for method in methods}


def _shapes(inputs: Any, outputs: Any) -> Shapes:
    return tuple(tuple(x.dims) for x in (*inputs, *outputs))


def _constant(expression: Any) -> int | None:
    return int(expression.get_constant_value()) if expression.is_constant() else None


def _operation(trt: Any, builder: Any) -> Callable[[str, Any, Any], Any]:
    def operation(name: str, x: Any, y: Any) -> Any:
        return builder.operation(getattr(trt.DimensionOperation, name), x, y)

    return operation


@cache
def _creator_class(trt: Any) -> type:
    def init(self: Any, cls: type[Plugin]) -> None:
        trt.IPluginCreatorV3One.__init__(self)
        self.label = self.name = cls.__name__
        self.plugin_version = cls.version
        self.plugin_namespace = ""
        self.field_names = trt.PluginFieldCollection([])

    def create_plugin(self: Any, name: str, field_collection: Any, phase: Any) -> Any:
        """For the builder, and for an engine that is loaded: both have the record."""
        for field in field_collection:
            if field.name == _RECORD:
                return made(trt, Instance.from_bytes(field.data.tobytes()))
        raise BuildError(f"plugin {self.name} is made of a record, which TensorRT did not give")

    methods = {"__init__": init, "create_plugin": _kept(create_plugin)}
    return type("CreatorV3", (trt.IPluginCreatorV3One,), methods)


def creator(trt: Any, cls: type[Plugin]) -> Any:
    """An IPluginCreatorV3One of a plugin class."""
    return _creator_class(trt)(cls)


@once
def register(trt: Any, cls: type[Plugin]) -> Any:
    """Make a plugin class known to TensorRT's registry, for good; its creator, which must live.

    Errors: BuildError where TensorRT refuses it: another plugin has its name and version.
    """
    known = creator(trt, cls)
    if not trt.get_plugin_registry().register_creator(known, ""):
        raise BuildError(
            f"TensorRT's registry refuses plugin {cls.__name__}, version {cls.version}; "
            "another one has this name"
        )
    return known


def made(trt: Any, instance: Instance) -> Any:
    """An IPluginV3."""
    return _plugin_class(trt, in_place=bool(instance.in_place))(instance)


def _fields(trt: Any, instance: Instance) -> list[Any]:
    """What a creator gets to make the instance of: its record, as bytes."""
    import numpy as np

    data = np.frombuffer(instance.to_bytes(), dtype=np.int8).copy()
    return [trt.PluginField(_RECORD, data, trt.PluginFieldType.INT8)]
