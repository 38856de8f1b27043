"""``Plugin``: a layer that TensorRT lacks, whose kernel comes with it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trtdsl.errors import ConversionError, LoadError, explain
from trtdsl.ir.base import Layer
from trtdsl.types import DType

if TYPE_CHECKING:
    from torch import nn

    from trtdsl.extension.buffer import Buffer
    from trtdsl.extension.launch import Launch
    from trtdsl.network import Tensor
    from trtdsl.tensorrt_api import Api

__all__ = ["Plugin", "attribute"]


class Plugin(Layer):
    """A layer of the user's: attributes, ``infer``, ``evaluate``, and a kernel.

    A subclass is a frozen, keyword-only dataclass whose fields are its attributes: ints, floats,
    bools, strings, and tuples of them. Its kernel is one of

    - CUDA C++: ``class RMSNorm(Plugin, kernel=SOURCE)`` (or the path of a ``.cu`` beside the
      class's module, or several of either, one behind the other), and ``launch``, which says how it
      is started for tensors of given shapes;
    - a function in Python: ``run``, which queues work on a stream by PyTorch, Triton, CuPy or
      pycuda (which needs ``trtdsl.plugins.pycuda_stream``).

    CUDA C++ sees the element types of the tensors as macros ``T0``, ``T1``, ..., inputs first and
    then outputs: ``float32``, ``float16``, ``bfloat16``, ``int32`` and so on; the 16-bit types
    convert from and to ``float``. int8 tensors are int32 in an engine, and so are int64 ones on
    TensorRT 8. Attributes reach a kernel as arguments.

    In an engine a plugin goes by its class's name and ``version``; the engine keeps the attributes,
    and loads where the class has been imported. ``class RMSNorm(Plugin, kernel=SOURCE,
    ahead_of_time=True)`` is compiled into the engine, which then needs neither the class nor
    Python, if TensorRT has that (10.9 and later) and can start the kernel: one kernel in CUDA C++,
    without a workspace, with a ``launch`` that only computes with sizes. Where not,
    PythonNeededWarning says why, and the engine's manifest lists the class. Never seen running yet.

    ``precision="fp16"`` leaves it the dtypes that it was traced with; with ``narrows = True`` in
    the class it gets 16-bit numbers where the layers around it have them.

    A kernel that updates a tensor names the output that begins as a copy of an input:
    ``aliases={0: 1}`` for output 0 and input 1, of one type. It finds the values in the output, and
    does not read the input, which may be the same memory: TensorRT 10.3 and later save the copy
    where nothing else reads the input. ``evaluate`` gives the new values, as ever.

    Source: IPluginV3 of TensorRT 10 and later; IPluginV2DynamicExt of TensorRT 8, which
    ``trtdsl.extension.plugin_v2`` builds as a C++ object, on Linux and x86-64 only.
    """

    kernel: ClassVar[str] = ""
    version: ClassVar[str] = "1"
    ahead_of_time: ClassVar[bool] = False
    capability: ClassVar[str] = ""
    """The compute capability that its kernel is for, such as ``"9.0"``, if it is for one alone: an
    engine for other GPUs, or for others too, gets the layers that ``expand`` makes."""
    narrows: ClassVar[bool] = False
    """Whether ``precision`` may hand it 16-bit numbers where it was traced with float32 ones."""
    multiplies: ClassVar[bool] = False
    """Whether it is a product of matrices, which ``precision`` hands 16-bit numbers wherever it is:
    what else ``narrows`` gets them only from layers that have them."""
    by_row: ClassVar[bool] = False
    """Whether each row ``(.., C)`` of what it gives is made of the same row of what it reads, other
    than constants, ``(1, .., C)`` or ``(1, .., N, C)``: then it may be given several axes of rows
    as one."""
    chooses_boxes: ClassVar[bool] = False
    """Whether it chooses among boxes, which no ``precision`` may round."""
    aliases: ClassVar[Mapping[int, int]] = {}
    """The outputs, by index, that begin as copies of inputs."""

    classes: ClassVar[dict[tuple[str, str], type[Plugin]]] = {}
    """Every plugin class that has been imported, by name and version; the last one of such."""
    homes: ClassVar[dict[tuple[str, str, str], type[Plugin]]] = {}
    """The same by name, version and module."""

    def __init_subclass__(
        cls,
        *,
        kernel: str | Path | Sequence[str | Path] = "",
        version: str | None = None,
        ahead_of_time: bool | None = None,
        aliases: Mapping[int, int] | None = None,
        **more: Any,
    ) -> None:
        super().__init_subclass__(**more)
        given = {"version": version, "ahead_of_time": ahead_of_time, "aliases": aliases}
        for name, value in given.items():
            if value is not None:
                setattr(cls, name, value)
        if len(set(cls.aliases.values())) < len(cls.aliases):
            what = f"plugin {cls.__name__} has aliases={dict(cls.aliases)}"
            raise ConversionError(explain(what, fix="give each output an input of its own"))
        if kernel:
            parts = (kernel,) if isinstance(kernel, str | Path) else kernel
            cls.kernel = "\n".join(_source(cls, part) for part in parts)
        if not inspect.isabstract(cls):
            Plugin.classes[cls.__name__, cls.version] = cls
            Plugin.homes[cls.__name__, cls.version, cls.__module__] = cls

    def outputs(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        made = super().outputs(*inputs)
        for i, j in self.aliases.items():
            self.require(i < len(made) and j < len(inputs), f"has no output {i} or no input {j}")
            told = f"output {i} is {made[i].type}, and input {j} that it begins as {inputs[j].type}"
            self.require(made[i].type == inputs[j].type, told)
        return made

    def launch(self, *tensors: Any, **_: Any) -> Launch | Sequence[Launch]:
        """How the CUDA C++ kernel is started for tensors of these shapes: inputs, then outputs.

        They are Buffers, and so is the keyword ``workspace``. It is called once for each
        combination of shapes, pointers are filled in later; and ahead of time with open sizes as
        ``trtdsl.extension.unknown_size`` has them.
        """
        raise ConversionError(
            explain(
                f"plugin {type(self).__name__} has no kernel",
                at=inspect.getsourcefile(type(self)),
                fix="write launch(), for CUDA C++, or run(), for a kernel queued from Python",
            )
        )

    def run(
        self,
        inputs: Sequence[Buffer],
        outputs: Sequence[Buffer],
        *,
        workspace: Buffer | None,
        stream: int,
    ) -> None:
        """Queue the kernel on a stream (a ``cudaStream_t``) and return without waiting for it."""
        raise NotImplementedError

    def workspace(self, *inputs: Any, **_: Any) -> int:
        """Bytes of device memory that a call needs, where sizes are the largest."""
        return 0

    @classmethod
    def queues_from_python(cls) -> bool:
        """Whether the kernel is ``run``, and not CUDA C++."""
        return cls.run is not Plugin.run

    def of_sum(self, *, offset: bool, keeps: bool) -> Plugin | None:
        """The plugin whose first input is the sum of two tensors, given those two; if there is one.

        The second one follows all inputs, and with ``offset`` then the constant ``(1, .., C)`` that
        is added to the first one's rows. With ``keeps`` the last output is the sum.
        """
        return None

    def followed_by(self, layer: Layer) -> Plugin | None:
        """The plugin that does too what a layer does that reads its output; if there is one.

        It reads what this plugin reads. Asked where nothing else reads the output.
        """
        return None

    def attributes(self) -> dict[str, Any]:
        """The fields, as JSON has them."""
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Plugin:
        """The plugin with these fields; lists, which JSON has for tuples, become tuples."""
        return cls(**{name: _tuples(value) for name, value in attributes.items()})

    @classmethod
    def from_module(cls, module: nn.Module) -> Self:
        """The plugin of a module, for ``@trtdsl.plugin(MyModule)``: fields are its attributes.

        Errors: ConversionError for a field that the module has not.
        """
        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]
        missing = [name for name in names if not hasattr(module, name)]
        if missing:
            raise ConversionError(
                explain(
                    f"module {type(module).__qualname__} has no {', '.join(missing)}, which plugin "
                    f"{cls.__qualname__} wants",
                    at=inspect.getsourcefile(cls),
                    fix="write from_module(cls, module), which gives the plugin of a module",
                )
            )
        return cls(**{name: getattr(module, name) for name in names})

    @staticmethod
    def find(name: str, version: str, module: str) -> type[Plugin]:
        """The class that an engine names, imported where trtdsl ships it.

        Errors: LoadError where another one has not been imported.
        """
        if module.startswith("trtdsl.plugins."):
            with suppress(ImportError):
                import_module(module)
        found = Plugin.homes.get((name, version, module)) or Plugin.classes.get((name, version))
        if found is not None:
            return found
        fix = f"import {module} before the engine is loaded"
        if module == "__main__":
            fix = "import it before the engine is loaded; a script saved the engine and had it"
        what = f"the engine holds plugin {name}, version {version}, which is not imported"
        raise LoadError(explain(what, fix=fix))

    def defines(self, *dtypes: DType) -> tuple[tuple[str, str], ...]:
        """Macros for the compiler: the element types, inputs first."""
        return tuple((f"T{i}", dtype.value) for i, dtype in enumerate(dtypes))

    def lower(self, api: Api, *inputs: Any) -> Any:
        from trtdsl.extension.plugins import add_plugin

        return add_plugin(api, self, inputs)


def attribute(cls: type[Plugin], name: str, value: Any) -> Any:
    """An argument as a field holds it. Errors: ConversionError for what an engine cannot keep."""
    if isinstance(value, list | tuple):
        return tuple(attribute(cls, name, v) for v in value)
    if isinstance(value, DType):
        return value.value
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ConversionError(
        explain(
            f"{name} of plugin {cls.__qualname__} is {value}, and an engine keeps attributes as "
            "bools, ints, floats, strings and tuples of them",
            fix="read a size from a tensor's shape, in infer and in launch; of a module, have "
            "from_module give such",
        )
    )


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _source(cls: type, kernel: str | Path) -> str:
    """CUDA C++ as given, or read from a file beside the class's module."""
    if "\n" in str(kernel) or not str(kernel).endswith(".cu"):
        return str(kernel)
    path = Path(inspect.getfile(cls)).parent / kernel
    try:
        return path.read_text()
    except OSError as error:
        raise ConversionError(
            explain(f"the kernel of plugin {cls.__name__} cannot be read: {error}")
        ) from error
