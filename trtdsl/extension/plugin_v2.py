"""Plugins for TensorRT 8, where Python cannot subclass them: C++ objects made by ``cpp``.

The interfaces are IPluginV2DynamicExt and IPluginCreator of NvInferRuntime.h and
NvInferRuntimePlugin.h, release 8.6. What this cannot do:

- Run elsewhere than on Linux and x86-64, with another major release of TensorRT, or in a process
  without Python, such as trtexec: the creator and the plugins are objects of this process.
- Layouts other than row major, and types that release 8.6 has not: bfloat16, int64, float8.
- Outputs whose sizes values decide, and ``infer`` by values: it sees the sizes of inputs alone.
- Let an output be the memory of an input: aliases are copied.
- Queue kernels of several contexts at the same time: every call takes the GIL.
- Pass an exception through: TensorRT is told that a call failed, and the exception is raised
  afterwards, by whoever called TensorRT. Where it gave no answer, TensorRT goes on with a harmless
  one: a rank of -1, no workspace, no support.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from trtdsl.errors import BuildError
from trtdsl.extension.cpp import Class, Method, Pointer, call
from trtdsl.extension.failures import note
from trtdsl.extension.instance import Instance, Run
from trtdsl.extension.size_expressions import read, write
from trtdsl.ir.plugin import Plugin
from trtdsl.runtime.once import once
from trtdsl.types import DType

__all__ = ["Desc", "Dims", "DimsExprs", "Field", "Fields", "fields_of", "register"]

_Int, _Bool, _Size, _Text = ctypes.c_int32, ctypes.c_bool, ctypes.c_size_t, ctypes.c_char_p
_LINEAR = 0
_CODES = {
    DType.FLOAT32: 0,
    DType.FLOAT16: 1,
    DType.INT8: 2,
    DType.INT32: 3,
    DType.BOOL: 4,
    DType.UINT8: 5,
}
"""nvinfer1::DataType of release 8.6."""


class Dims(ctypes.Structure):
    """nvinfer1::Dims."""

    _fields_ = (("count", _Int), ("sizes", _Int * 8))

    def shape(self) -> tuple[int, ...]:
        return tuple(self.sizes[: self.count])


class Desc(ctypes.Structure):
    """nvinfer1::PluginTensorDesc."""

    _fields_ = (("dims", Dims), ("type", _Int), ("format", _Int), ("scale", ctypes.c_float))


class DimsExprs(ctypes.Structure):
    """nvinfer1::DimsExprs."""

    _fields_ = (("count", _Int), ("sizes", Pointer * 8))


class Fields(ctypes.Structure):
    """nvinfer1::PluginFieldCollection."""

    _fields_ = (("count", _Int), ("fields", Pointer))


class Field(ctypes.Structure):
    """nvinfer1::PluginField."""

    _fields_ = (("name", _Text), ("data", Pointer), ("type", _Int), ("length", _Int))


_Descs = ctypes.POINTER(Desc)
_Exprs = ctypes.POINTER(DimsExprs)


def _never(*takes: Any, gives: Any = None, otherwise: Any = None) -> Method:
    """A function of a base class that IPluginV2DynamicExt has made private, and its answer."""
    return Method(name="obsolete", gives=gives, takes=takes, otherwise=otherwise)


_BASE = (
    Method(name="tensorrt_version", gives=_Int, otherwise=0),
    Method(name="plugin_type", gives=Pointer),
    Method(name="plugin_version", gives=Pointer),
    Method(name="num_outputs", gives=_Int, otherwise=0),
    Method(name="static_dimensions", takes=(_Int, Pointer, _Int), by_memory=Dims),
    _never(_Int, _Int, gives=_Bool, otherwise=False),  # supportsFormat
    _never(Pointer, _Int, Pointer, _Int, _Int, _Int, _Int),  # configureWithFormat
    Method(name="initialize", gives=_Int, otherwise=1),
    Method(name="nothing"),  # terminate
    _never(_Int, gives=_Size, otherwise=0),  # getWorkspaceSize
    _never(_Int, Pointer, Pointer, Pointer, Pointer, gives=_Int, otherwise=1),  # enqueue
    Method(name="serialized_size", gives=_Size, otherwise=0),
    Method(name="serialize", takes=(Pointer,)),
    Method(name="destroy"),
    Method(name="clone", gives=Pointer),
    Method(name="set_namespace", takes=(_Text,)),
    Method(name="namespace", gives=Pointer),
    Method(name="destroy"),  # the destructor
    Method(name="destroy"),  # the destructor that frees memory
)
"""The functions of IPluginV2, in the order of their declaration."""

_EXT = (
    Method(name="output_type", gives=_Int, takes=(_Int, Pointer, _Int), otherwise=0),
    _never(_Int, Pointer, _Int, gives=_Bool, otherwise=False),  # isOutputBroadcastAcrossBatch
    _never(_Int, gives=_Bool, otherwise=True),  # canBroadcastInputAcrossBatch
    _never(*(Pointer, _Int) * 2, *(Pointer,) * 4, _Int, _Int),  # configurePlugin
    Method(name="attach", takes=(Pointer, Pointer, Pointer)),
    Method(name="nothing"),  # detachFromContext
)
"""What IPluginV2Ext adds."""

_DYNAMIC_EXT = (
    Method(name="dimensions", takes=(_Int, _Exprs, _Int, Pointer), by_memory=DimsExprs),
    Method(name="supports", gives=_Bool, takes=(_Int, _Descs, _Int, _Int), otherwise=False),
    Method(name="configure", takes=(Pointer, _Int, Pointer, _Int)),
    Method(name="workspace", gives=_Size, takes=(_Descs, _Int, _Descs, _Int), otherwise=0),
    Method(name="enqueue", gives=_Int, takes=(Pointer,) * 6, otherwise=1),
)
"""What IPluginV2DynamicExt adds."""

_CREATOR = (
    Method(name="tensorrt_version", gives=_Int, otherwise=0),
    Method(name="plugin_type", gives=Pointer),
    Method(name="plugin_version", gives=Pointer),
    Method(name="field_names", gives=Pointer),
    Method(name="create", gives=Pointer, takes=(_Text, ctypes.POINTER(Fields))),
    Method(name="deserialize", gives=Pointer, takes=(_Text, Pointer, _Size)),
    Method(name="set_namespace", takes=(_Text,)),
    Method(name="namespace", gives=Pointer),
    Method(name="nothing"),  # the destructor
    Method(name="nothing"),  # the destructor that frees memory
)
"""The functions of IPluginCreator."""


@cache
def _plugin_class() -> Class:
    return Class(name="N6trtdsl8PluginV2E", methods=(*_BASE, *_EXT, *_DYNAMIC_EXT))


@cache
def _creator_class() -> Class:
    return Class(name="N6trtdsl9CreatorV2E", methods=_CREATOR)


class _Named:
    """What a plugin and its creator have in common: names, as C strings that stay."""

    def __init__(self, name: str, version: str, tensorrt_version: int) -> None:
        self._version = tensorrt_version
        self._name = ctypes.create_string_buffer(name.encode())
        self._plugin_version = ctypes.create_string_buffer(version.encode())
        self._namespace = ctypes.create_string_buffer(b"")

    def tensorrt_version(self) -> int:
        return self._version

    def plugin_type(self) -> int:
        return ctypes.addressof(self._name)

    def plugin_version(self) -> int:
        return ctypes.addressof(self._plugin_version)

    def set_namespace(self, name: bytes) -> None:
        self._namespace = ctypes.create_string_buffer(name or b"")

    def namespace(self) -> int:
        return ctypes.addressof(self._namespace)

    def nothing(self) -> None:
        """A function that has nothing to do."""

    def failed(self, error: BaseException) -> None:
        note(self._name.value.decode(), error)


class _PluginV2(_Named):
    """One object of IPluginV2DynamicExt. TensorRT clones, serializes and destroys it."""

    def __init__(self, instance: Instance, tensorrt_version: int) -> None:
        dynamic = 3 << 24 | (tensorrt_version & 0xFFFFFF)  # PluginVersion::kV2_DYNAMICEXT
        super().__init__(instance.name, instance.plugin.version, dynamic)
        self._plain_version = tensorrt_version
        self._instance = instance
        self._data = instance.to_bytes()
        self._dtypes = (*instance.inputs, *instance.outputs)
        self._num_inputs = len(instance.inputs)
        self._known: dict[bytes, Run] = {}
        self._inputs = ctypes.sizeof(Desc) * len(instance.inputs)
        self._outputs = ctypes.sizeof(Desc) * len(instance.outputs)
        self._in_pointers = Pointer * len(instance.inputs)
        self._out_pointers = Pointer * len(instance.outputs)
        self.address = _plugin_class().new(self)

    def obsolete(self, *_: Any) -> Any:
        raise BuildError(f"TensorRT called an obsolete function of plugin {self._instance.name}")

    def static_dimensions(self, result: Dims, *_: Any) -> None:
        result.count = -1

    def attach(self, *_: Any) -> None:
        """attachToContext: cuDNN and cuBLAS, of which these plugins use none."""

    def num_outputs(self) -> int:
        return len(self._instance.outputs)

    def initialize(self) -> int:
        return 0

    def serialized_size(self) -> int:
        return len(self._data)

    def serialize(self, buffer: int) -> None:
        ctypes.memmove(buffer, self._data, len(self._data))

    def destroy(self) -> None:
        _plugin_class().delete(self.address)

    def clone(self) -> int:
        other = _PluginV2(self._instance.apart(), self._plain_version)
        other._namespace = self._namespace
        return other.address

    def output_type(self, index: int, types: int, count: int) -> int:
        return _CODES[self._instance.outputs[index]]

    def supports(self, place: int, descs: Any, num_inputs: int, num_outputs: int) -> bool:
        desc = descs[place]
        return bool(desc.type == _CODES[self._dtypes[place]] and desc.format == _LINEAR)

    def configure(self, *_: Any) -> None:
        """configurePlugin: shapes are taken as they come with each run."""

    def workspace(self, inputs: Any, num_inputs: int, outputs: Any, num_outputs: int) -> int:
        return self._instance.workspace([inputs[i].dims.shape() for i in range(num_inputs)])

    def dimensions(
        self, result: DimsExprs, index: int, inputs: Any, count: int, builder: int
    ) -> None:
        sizes = [inputs[i].sizes[: inputs[i].count] for i in range(count)]
        shapes, known = read(sizes, _constant, self._instance.sizes)
        output = self._instance.infer(shapes)[index]
        constant, operation = _builder(builder)
        result.count = output.rank
        for axis, size in enumerate(output.shape):
            result.sizes[axis] = write(size, known, constant, operation)

    def enqueue(
        self,
        inputs: int,
        outputs: int,
        reads: int,
        writes: int,
        workspace: int | None,
        stream: int | None,
    ) -> int:
        key = ctypes.string_at(inputs, self._inputs) + ctypes.string_at(outputs, self._outputs)
        run = self._known.get(key) or self._planned(key)
        read, written = self._in_pointers.from_address, self._out_pointers.from_address
        run((*read(reads), *written(writes), workspace or 0), stream or 0)
        return 0

    def _planned(self, key: bytes) -> Run:
        descs = (Desc * len(self._dtypes)).from_buffer_copy(key)
        if len(self._known) > 256:
            self._known.clear()
        self._known[key] = self._instance.planned(tuple(d.dims.shape() for d in descs))
        return self._known[key]


_OPERATIONS = {"SUM": 0, "PROD": 1, "MAX": 2, "MIN": 3, "FLOOR_DIV": 7, "CEIL_DIV": 8}
"""nvinfer1::DimensionOperation."""


def _constant(expression: int) -> int | None:
    """The value of an IDimensionExpr that is constant."""
    implementation = ctypes.cast(expression + 8, ctypes.POINTER(Pointer))[0]
    if not call(implementation, 2, _Bool, ()):  # isConstant, behind the two of the destructor
        return None
    return int(call(implementation, 3, _Int, ()))


def _builder(builder: int) -> tuple[Callable[[int], int], Callable[[str, int, int], int]]:
    """What makes a constant, and what an operation, of an IExprBuilder."""
    implementation = ctypes.cast(builder + 8, ctypes.POINTER(Pointer))[0]

    def constant(value: int) -> int:
        return int(call(implementation, 2, Pointer, (_Int,), value))

    def operation(name: str, x: int, y: int) -> int:
        takes = (_Int, Pointer, Pointer)
        return int(call(implementation, 3, Pointer, takes, _OPERATIONS[name], x, y))

    return constant, operation


class _CreatorV2(_Named):
    """The creator that TensorRT's registry finds a plugin class by."""

    def __init__(self, cls: type[Plugin], tensorrt_version: int) -> None:
        super().__init__(cls.__name__, cls.version, tensorrt_version)
        self._fields = Fields(0, None)
        self.address = _creator_class().new(self)

    def field_names(self) -> int:
        return ctypes.addressof(self._fields)

    def create(self, name: bytes, fields: Any) -> int:
        first = ctypes.cast(fields.contents.fields, ctypes.POINTER(Field))[0]
        return self._made(ctypes.string_at(first.data, first.length))

    def deserialize(self, name: bytes, data: int, length: int) -> int:
        return self._made(ctypes.string_at(data, length))

    def _made(self, data: bytes) -> int:
        return _PluginV2(Instance.from_bytes(data), self._version).address


@once
def register(cls: type[Plugin], library: str, version: int) -> None:
    """Make a plugin class known to TensorRT's registry, for good.

    Errors: BuildError where TensorRT refuses it: another plugin has its name and version.
    """
    registry = ctypes.CDLL(library).getPluginRegistry
    registry.restype = Pointer
    creator = _CreatorV2(cls, version)
    if not call(registry(), 0, _Bool, (Pointer, _Text), creator.address, b""):
        raise BuildError(
            f"TensorRT's registry refuses plugin {cls.__name__}, version {cls.version}; "
            "another one has this name"
        )


def fields_of(trt: Any, instance: Instance) -> Sequence[Any]:
    """What a creator gets to make the instance of."""
    import numpy as np

    data = np.frombuffer(instance.to_bytes(), dtype=np.int8).copy()
    return [trt.PluginField("record", data, trt.PluginFieldType.CHAR)]
